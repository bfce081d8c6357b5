//! Panics at random, anywhere in the wallets' handlers, while transfers go on, across restarts of the process; then the
//! journal is read against what every client was told.

use super::storm::{Side, Storm, books, payers};
use crate::books::{BANK, Chance, setting};
use crate::fault::RandomFaults;
use crate::running_ledger::RunningLedger;
use std::collections::BTreeMap;

/// As many as a wallet may have within a minute without being quarantined.
const PER_WALLET_MAX: u32 = 5;

#[test]
fn panics_at_random_lose_and_double_nothing() {
    let wanted = setting("BURSAR_TEST_PANICS", 60);
    let first_seed = setting("BURSAR_TEST_SEED", 1);
    let mut by_place: BTreeMap<&str, u32> = BTreeMap::new();
    let mut seed = first_seed;
    while by_place.values().sum::<u32>() < wanted {
        for (place, panics) in soak(u64::from(seed)) {
            *by_place.entry(place).or_default() += panics;
        }
        seed += 1;
    }
    println!("{} panics in {} ledgers: {by_place:?}", by_place.values().sum::<u32>(), seed - first_seed);
}

/// A ledger's life over some starts. The seed decides on the traffic and on the faults; which of them meet is up to the
/// threads.
fn soak(seed: u64) -> BTreeMap<&'static str, u32> {
    let context = format!(
        "seed {seed}: BURSAR_TEST_SEED={seed} BURSAR_TEST_PANICS=1 cargo test --test it supervision::soak"
    );
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut chance = Chance(seed);
    let mut storm = Storm::new(seed);
    let mut by_place = BTreeMap::new();
    for start in 0..3 {
        let shards = 1 + chance.below(4) as usize;
        let faults = RandomFaults::new(chance.next(), payers(), 8 + chance.below(200), PER_WALLET_MAX);
        let ledger = RunningLedger::start(directory.path(), shards, Some(faults.hook()));
        if start == 0 {
            ledger.open_books(BANK, &books());
        }
        storm.fund(&ledger);
        for _ in 0..4 {
            let victim = 2 + u128::from(chance.below(4));
            let side = [Side::Debit, Side::Credit, Side::Both][chance.below(3) as usize];
            let traffic = storm.traffic(victim, side, 150);
            storm.settle(&ledger, &traffic);
        }
        faults.end();
        let views = storm.check_at_rest(&ledger, &context);
        ledger.stop();
        storm.check_journal(directory.path(), &views, &context);
        for (place, panics) in faults.by_place() {
            *by_place.entry(place).or_default() += panics;
        }
    }
    by_place
}
