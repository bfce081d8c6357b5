//! Faults: panics at named places of the engine's handlers, when a test says so.

use crate::books::Chance;
use crate::server::PATIENCE;
use actors::{FATAL_FAULT_PLACES, FaultHook};
use ledger::WalletId;
use std::collections::{BTreeMap, BTreeSet};
use std::panic;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, Once};

/// What every injected panic says.
const INJECTED: &str = "injected at";

/// Injected panics are no news: they are not printed, so that those that are stay visible.
fn silence_injected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let text = info.payload().downcast_ref::<String>();
            if !text.is_some_and(|text| text.starts_with(INJECTED)) {
                print(info);
            }
        }));
    });
}

fn injected(place: &str, wallet: WalletId) -> ! {
    panic!("{INJECTED} {place} of {wallet}")
}

/// Panics at one place, at one wallet, the first so many times that it is due.
#[derive(Debug)]
pub(crate) struct Fault {
    place: &'static str,
    wallet: WalletId,
    armed: AtomicBool,
    /// Passes before the first panic.
    after: AtomicU32,
    panics: AtomicU32,
    panicked: AtomicU32,
}

impl Fault {
    pub(crate) fn new(place: &'static str, wallet: u128, after: u32, panics: u32) -> Arc<Self> {
        let fault = Self::unarmed(place, wallet, after, panics);
        fault.arm();
        fault
    }

    /// One that counts passes only once it is armed.
    pub(crate) fn unarmed(place: &'static str, wallet: u128, after: u32, panics: u32) -> Arc<Self> {
        silence_injected_panics();
        let (after, panics) = (AtomicU32::new(after), AtomicU32::new(panics));
        let (armed, panicked) = (AtomicBool::new(false), AtomicU32::new(0));
        Arc::new(Self { place, wallet: WalletId(wallet), armed, after, panics, panicked })
    }

    pub(crate) fn arm(&self) {
        self.armed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn panicked(&self) -> u32 {
        self.panicked.load(Ordering::Relaxed)
    }

    pub(crate) fn hook(self: &Arc<Self>) -> FaultHook {
        let fault = Arc::clone(self);
        let take = |number: &AtomicU32| {
            number.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        };
        Arc::new(move |place, wallet| {
            let here = place == fault.place && wallet == fault.wallet;
            if here && fault.armed.load(Ordering::Relaxed) && !take(&fault.after) && take(&fault.panics) {
                fault.panicked.fetch_add(1, Ordering::Relaxed);
                injected(place, wallet);
            }
        })
    }
}

/// Holds whoever comes to a place at a wallet, until it is opened.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    place: &'static str,
    wallet: WalletId,
    state: Arc<(Mutex<GateState>, Condvar)>,
}

#[derive(Debug, Default)]
struct GateState {
    open: bool,
    held: u32,
}

impl Gate {
    pub(crate) fn new(place: &'static str, wallet: u128) -> Self {
        Self { place, wallet: WalletId(wallet), state: Arc::default() }
    }

    pub(crate) fn open(&self) {
        self.state.0.lock().expect("nobody panics with it").open = true;
        self.state.1.notify_all();
    }

    /// Waits until somebody is held.
    pub(crate) fn wait_until_held(&self) {
        let state = self.state.0.lock().expect("nobody panics with it");
        let held = self.state.1.wait_timeout_while(state, PATIENCE, |state| state.held == 0);
        assert!(!held.expect("nobody panics with it").1.timed_out(), "nobody comes to {}", self.place);
    }

    pub(crate) fn hook(&self) -> FaultHook {
        let (place, wallet, state) = (self.place, self.wallet, Arc::clone(&self.state));
        Arc::new(move |here, who| {
            if here == place && who == wallet {
                let mut held = state.0.lock().expect("nobody panics with it");
                held.held += 1;
                state.1.notify_all();
                let _opened = state.1.wait_while(held, |state| !state.open);
            }
        })
    }
}

/// All of them, one after another.
pub(crate) fn hooks(hooks: Vec<FaultHook>) -> FaultHook {
    Arc::new(move |place, wallet| hooks.iter().for_each(|hook| hook(place, wallet)))
}

/// The places that the engine has passed.
#[derive(Clone, Debug, Default)]
pub(crate) struct PlacesPassed(Arc<Mutex<BTreeSet<&'static str>>>);

impl PlacesPassed {
    pub(crate) fn hook(&self) -> FaultHook {
        let places = Arc::clone(&self.0);
        Arc::new(move |place, _| {
            places.lock().expect("nobody panics with it").insert(place);
        })
    }

    pub(crate) fn all(&self) -> BTreeSet<&'static str> {
        self.0.lock().expect("nobody panics with it").clone()
    }
}

/// Panics at random, anywhere in the handlers of some wallets, so often that none is quarantined for it.
#[derive(Debug)]
pub(crate) struct RandomFaults {
    state: Mutex<RandomState>,
    wallets: Vec<WalletId>,
    over: AtomicBool,
    /// One pass in so many panics.
    one_in: u64,
    per_wallet_max: u32,
}

#[derive(Debug)]
struct RandomState {
    chance: Chance,
    by_wallet: BTreeMap<WalletId, u32>,
    by_place: BTreeMap<&'static str, u32>,
}

impl RandomFaults {
    pub(crate) fn new(seed: u64, wallets: Vec<WalletId>, one_in: u64, per_wallet_max: u32) -> Arc<Self> {
        silence_injected_panics();
        let (by_wallet, by_place) = (BTreeMap::new(), BTreeMap::new());
        let state = Mutex::new(RandomState { chance: Chance(seed), by_wallet, by_place });
        Arc::new(Self { state, wallets, over: AtomicBool::new(false), one_in, per_wallet_max })
    }

    /// From now on, there are none.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Panics so far, by place.
    pub(crate) fn by_place(&self) -> BTreeMap<&'static str, u32> {
        self.state.lock().expect("nobody panics with it").by_place.clone()
    }

    pub(crate) fn hook(self: &Arc<Self>) -> FaultHook {
        let faults = Arc::clone(self);
        Arc::new(move |place, wallet| {
            let spared = !faults.wallets.contains(&wallet) || FATAL_FAULT_PLACES.contains(&place);
            if spared || faults.over.load(Ordering::Relaxed) {
                return;
            }
            let mut state = faults.state.lock().expect("nobody panics with it");
            let due = state.chance.below(faults.one_in) == 0;
            let before = state.by_wallet.entry(wallet).or_default();
            if !due || *before == faults.per_wallet_max {
                return;
            }
            *before += 1;
            *state.by_place.entry(place).or_default() += 1;
            drop(state);
            injected(place, wallet);
        })
    }
}
