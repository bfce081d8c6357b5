//! A panic in every handler of a wallet, in every phase of a transfer, on either side: nothing is lost or doubled.

use super::storm::{Side, Storm, books};
use crate::books::{BANK, setting};
use crate::fault::{Fault, PlacesPassed, hooks};
use crate::running_ledger::RunningLedger;
use actors::FATAL_FAULT_PLACES;
use std::collections::BTreeSet;

/// The wallet that fails.
const VICTIM: u128 = 2;

const EITHER: &[Side] = &[Side::Debit, Side::Credit];
const DEBIT: &[Side] = &[Side::Debit, Side::Both];
const CREDIT: &[Side] = &[Side::Credit, Side::Both];

/// Every place in a wallet's handlers, with the sides on which a wallet passes it; those that are passed only once, at
/// the creation, last.
const PLACES: &[(&str, &[Side])] = &[
    ("begin", DEBIT),
    ("reserved", DEBIT),
    ("refuse_debit", DEBIT),
    ("waited", DEBIT),
    ("settled", DEBIT),
    ("debited", DEBIT),
    ("released", DEBIT),
    ("continue", CREDIT),
    ("committed", CREDIT),
    ("credited", CREDIT),
    ("announced", CREDIT),
    ("refuse_credit", CREDIT),
    ("refused_credit", CREDIT),
    ("read", EITHER),
    ("read_settled", EITHER),
];

const AT_CREATION: &[&str] = &["loaded", "create", "created"];

/// Shards, passes before the first panic, panics: one wallet's budget is five in a minute.
const LAYOUTS: &[(usize, u32, u32)] =
    &[(2, 0, 1), (1, 3, 1), (2, 2, 4), (1, 0, 3), (4, 1, 2), (2, 5, 1), (4, 0, 5), (1, 1, 5), (2, 7, 2)];

fn check(
    place: &'static str,
    side: Side,
    (shards, after, panics): (usize, u32, u32),
    seed: u64,
) -> PlacesPassed {
    let context = format!(
        "seed {seed}: {panics} panics at {place} after {after}, {side:?} of {shards} shards: \
         BURSAR_TEST_PANIC_LAYOUTS={} cargo test --test it supervision::phases",
        LAYOUTS.len()
    );
    let directory = tempfile::tempdir().expect("a temporary directory");
    let fault = Fault::new(place, VICTIM, after, panics);
    let passed = PlacesPassed::default();
    let hook = hooks(vec![passed.hook(), fault.hook()]);
    let ledger = RunningLedger::start(directory.path(), shards, Some(hook));
    ledger.open_books(BANK, &books());
    let mut storm = Storm::new(seed);
    storm.fund(&ledger);
    // How often a place is passed is up to the threads; a wallet that is in all traffic passes each sooner or later.
    for _ in 0..100 {
        let traffic = storm.traffic(VICTIM, side, 120);
        storm.settle(&ledger, &traffic);
        if fault.panicked() == panics {
            break;
        }
    }
    assert_eq!(fault.panicked(), panics, "{context}: the fault was never due");
    let views = storm.check_at_rest(&ledger, &context);
    ledger.stop();
    storm.check_journal(directory.path(), &views, &context);
    passed
}

#[test]
fn a_panic_in_any_phase_of_a_transfer_on_either_side_loses_and_doubles_nothing() {
    let layouts = setting("BURSAR_TEST_PANIC_LAYOUTS", 1) as usize;
    let mut passed = BTreeSet::new();
    let mut seed = 0;
    for &(place, sides) in PLACES {
        for &side in sides {
            for _ in 0..layouts {
                let layout = LAYOUTS[seed % LAYOUTS.len()];
                passed.extend(check(place, side, layout, seed as u64).all());
                seed += 1;
            }
        }
    }
    for &place in AT_CREATION {
        for shards in [1, 2] {
            passed.extend(check(place, Side::Both, (shards, 0, 1), seed as u64).all());
            seed += 1;
        }
    }
    let tried = PLACES.iter().map(|(place, _)| *place).chain(AT_CREATION.iter().copied());
    // Tried in `restarts` and in `end_of_process`.
    let elsewhere = ["rebuilt", "continue_rebuilding", "lose_patience"].iter().chain(FATAL_FAULT_PLACES);
    let tried: BTreeSet<&str> = tried.chain(elsewhere.copied()).collect();
    let forgotten: Vec<_> = passed.difference(&tried).collect();
    assert!(forgotten.is_empty(), "no panic is tried at {forgotten:?}");
}
