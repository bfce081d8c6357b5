//! Which records may follow which, with nothing held elsewhere and with something.

use crate::chain::Chain;
use crate::error::Damage;
use crate::journal::ChainPoint;
use crate::record::{GENESIS_HASH, Record, RecordHash, push_entry};

/// A record of `count` entries, whose times are ten times their numbers.
fn record(first_seq: u64, count: u64, before: RecordHash) -> Record {
    let mut body = Vec::new();
    for seq in first_seq..first_seq + count {
        push_entry(&mut body, seq * 10, b"entry");
    }
    Record::decode(Record::encode(first_seq, count as u32, &before, &body)).expect("it has just been encoded")
}

fn end(record: &Record) -> ChainPoint {
    ChainPoint { seq: record.last_seq(), hash: record.hash() }
}

fn admit(chain: &mut Chain, record: &Record) -> Result<(), Damage> {
    chain.admit(&record.first_seq().to_be_bytes(), Ok(record.clone())).map(drop)
}

#[test]
fn records_follow_each_other_without_a_hole_from_the_first() {
    let first = record(1, 3, GENESIS_HASH);
    let second = record(4, 1, first.hash());
    let third = record(5, 2, second.hash());
    let mut chain = Chain::new(end(&second), ChainPoint::default());
    assert_eq!(
        (chain.end(), chain.tip().is_none(), chain.is_past_head()),
        (ChainPoint::default(), true, false)
    );
    assert!(matches!(chain.finish(), Err(Damage::EndsBelowHead { last: 0, head: 4 })));
    assert!(matches!(admit(&mut chain, &second), Err(Damage::Hole { expected: 1, found: 4 })));
    assert!(admit(&mut chain, &first).is_ok());
    assert_eq!((chain.end(), chain.is_past_head()), (end(&first), false));
    assert!(matches!(chain.finish(), Err(Damage::EndsBelowHead { last: 3, head: 4 })));
    assert!(matches!(admit(&mut chain, &third), Err(Damage::Hole { expected: 4, found: 5 })));
    assert!(matches!(admit(&mut chain, &first), Err(Damage::Hole { expected: 4, found: 1 })));
    assert_eq!(chain.end(), end(&first), "on damage nothing has changed");
    assert!(admit(&mut chain, &second).is_ok());
    assert!(chain.is_past_head() && chain.finish().is_ok());
    assert!(admit(&mut chain, &third).is_ok(), "whole records above the head are kept");
    assert!(chain.is_past_head() && chain.finish().is_ok());
    assert_eq!(chain.tip().expect("there is one").timestamp, 60);
}

#[test]
fn a_record_stands_under_the_number_of_its_first_entry() {
    let first = record(1, 3, GENESIS_HASH);
    let mut chain = Chain::new(ChainPoint::default(), ChainPoint::default());
    for key in [2_u64, 0, u64::MAX] {
        let misplaced = chain.admit(&key.to_be_bytes(), Ok(first.clone()));
        assert!(matches!(misplaced, Err(Damage::Misplaced { found: 1, .. })), "{key}");
    }
    assert!(matches!(chain.admit(b"short", Ok(first)), Err(Damage::Misplaced { key: 0, found: 1 })));
}

#[test]
fn hashes_and_times_go_on_from_record_to_record() {
    let check = |held: ChainPoint, before: Option<&Record>, next: &Record, expected: &str| {
        let mut chain = Chain::new(ChainPoint::default(), held);
        if let Some(before) = before {
            admit(&mut chain, before).expect("it is right");
        }
        let found = match admit(&mut chain, next) {
            Ok(()) => "right",
            Err(Damage::BrokenChain { .. }) => "broken",
            Err(Damage::TimeWentBack { .. }) => "back",
            Err(Damage::Hole { .. }) => "hole",
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{held:?} {before:?} {next:?}");
    };
    let nothing = ChainPoint::default();
    let first = record(1, 3, GENESIS_HASH);
    check(nothing, None, &record(1, 1, [9; 32]), "broken");
    check(nothing, Some(&first), &record(4, 1, GENESIS_HASH), "broken");
    check(nothing, Some(&first), &record(4, 1, first.hash()), "right");
    let mut body = Vec::new();
    for timestamp in [30_u64, 31] {
        body.clear();
        push_entry(&mut body, timestamp, b"entry");
        let next = Record::decode(Record::encode(4, 1, &first.hash(), &body)).expect("it is whole");
        check(nothing, Some(&first), &next, if timestamp == 30 { "back" } else { "right" });
    }
    // Up to the third, the entries are held elsewhere: the journal may start after them, or with any of them.
    let held = end(&first);
    check(held, None, &record(4, 1, first.hash()), "right");
    check(held, None, &record(4, 1, GENESIS_HASH), "broken");
    check(held, None, &record(1, 1, GENESIS_HASH), "right");
    check(held, None, &record(1, 1, [9; 32]), "broken");
    check(held, None, &record(2, 1, [9; 32]), "right");
    check(held, None, &record(5, 1, first.hash()), "hole");
}

#[test]
fn what_was_acknowledged_and_what_is_held_elsewhere_is_what_the_records_say() {
    let (first, second) = (record(1, 3, GENESIS_HASH), record(4, 2, record(1, 3, GENESIS_HASH).hash()));
    let check = |acknowledged: ChainPoint, held: ChainPoint, is_right: [bool; 2]| {
        let mut chain = Chain::new(acknowledged, held);
        let found = [admit(&mut chain, &first).is_ok(), admit(&mut chain, &second).is_ok()];
        assert_eq!(found, is_right, "{acknowledged:?} {held:?}");
    };
    let nothing = ChainPoint::default();
    let other = |seq| ChainPoint { seq, hash: [7; 32] };
    check(end(&first), nothing, [true, true]);
    check(end(&second), nothing, [true, true]);
    check(other(3), nothing, [false, false]);
    check(other(1), nothing, [false, false]);
    check(other(4), nothing, [true, false]);
    check(other(5), nothing, [true, false]);
    check(other(6), nothing, [true, true]);
    // Within a record, no point can be the end that was acknowledged.
    check(ChainPoint { seq: 2, ..end(&first) }, nothing, [false, false]);
    check(end(&second), end(&first), [true, true]);
    check(end(&second), other(2), [false, false]);
    // With no record at all, what is held elsewhere has to be what was acknowledged.
    assert!(Chain::new(end(&first), end(&first)).finish().is_ok());
    assert!(matches!(Chain::new(other(3), end(&first)).finish(), Err(Damage::NotTheAcknowledged { seq: 3 })));
    assert!(Chain::new(nothing, nothing).finish().is_ok());
}
