//! The open holds of a wallet: which of them count at what time.

use ledger::holds::{Hold, Holds};
use ledger::route::{expires_at_ns, has_expired};
use ledger::{Side, TransferId};

fn hold(side: Side, amount: u128, expires_at_ns: u64) -> Hold {
    Hold { side, amount, expires_at_ns, seq: 1 }
}

/// From it: 1 (until 10), 4 (until 20), 16 (for ever); for it: 2 (until 10), 8 (until 30).
fn holds() -> Holds {
    let mut holds = Holds::default();
    holds.insert(TransferId(5), hold(Side::Debit, 1, 10));
    holds.insert(TransferId(1), hold(Side::Credit, 2, 10));
    holds.insert(TransferId(4), hold(Side::Debit, 4, 20));
    holds.insert(TransferId(u128::MAX), hold(Side::Credit, 8, 30));
    holds.insert(TransferId(2), hold(Side::Debit, 16, u64::MAX));
    holds
}

#[test]
fn a_hold_expires_at_its_nanosecond_and_one_without_a_timeout_never() {
    let check = |timestamp_ns, timeout_s, expected| {
        assert_eq!(expires_at_ns(timestamp_ns, timeout_s), expected, "{timestamp_ns} {timeout_s}");
    };
    check(7, 0, u64::MAX);
    check(7, 1, 1_000_000_007);
    check(7, u32::MAX, 4_294_967_295_000_000_007);
    check(u64::MAX - 5, 1, u64::MAX);
    assert!(!has_expired(10, 9) && has_expired(10, 10) && has_expired(10, 11));
    assert!(!has_expired(u64::MAX, u64::MAX) && has_expired(u64::MAX - 1, u64::MAX));
}

#[test]
fn what_has_expired_is_summed_by_side_without_what_is_being_ended() {
    let holds = holds();
    let ids = [5, 4, 1, 2, 77, u128::MAX].map(TransferId);
    for (now_ns, debits, credits, next_ns) in [
        (0, 0, 0, 10),
        (9, 0, 0, 10),
        (10, 1, 2, 20),
        (19, 1, 2, 20),
        (20, 5, 2, 30),
        (29, 5, 2, 30),
        (30, 5, 10, u64::MAX),
        (u64::MAX, 5, 10, u64::MAX),
    ] {
        assert_eq!(holds.expired(Side::Debit, now_ns, &[]), debits, "{now_ns}");
        assert_eq!(holds.expired(Side::Credit, now_ns, &[]), credits, "{now_ns}");
        assert_eq!(holds.next_expiry_ns(now_ns), next_ns, "{now_ns}");
        assert_eq!(holds.expired(Side::Debit, now_ns, &ids), 0);
        assert_eq!(holds.expired_among(Side::Debit, now_ns, &ids), debits);
        assert_eq!(holds.expired_among(Side::Credit, now_ns, &ids), credits);
        assert_eq!(holds.expired_among(Side::Debit, now_ns, &[]), 0);
        assert!(holds.any_unexpired(now_ns), "one never expires");
    }
    assert_eq!(holds.expired(Side::Debit, 25, &ids[..1]), 4);
    assert_eq!(holds.expired(Side::Debit, 25, &ids[1..2]), 1);
    assert_eq!(holds.expired_among(Side::Debit, 25, &ids[1..2]), 4);
}

#[test]
fn holds_are_found_listed_by_id_and_taken_away_once() {
    let mut holds = holds();
    let listed: Vec<u128> = holds.iter().map(|(id, _)| id.0).collect();
    assert_eq!(listed, [1, 2, 4, 5, u128::MAX]);
    assert_eq!((holds.len(), holds.is_empty()), (5, false));
    assert_eq!(holds.get(TransferId(4)), Some(&hold(Side::Debit, 4, 20)));
    assert_eq!(holds.get(TransferId(3)), None);
    assert_eq!(holds.remove(TransferId(3)), None);
    assert_eq!(holds.remove(TransferId(2)), Some(hold(Side::Debit, 16, u64::MAX)));
    assert!(holds.any_unexpired(29) && !holds.any_unexpired(30), "the last of them expires");
    assert_eq!(holds.remove(TransferId(5)), Some(hold(Side::Debit, 1, 10)));
    assert_eq!(holds.remove(TransferId(5)), None);
    assert_eq!((holds.expired(Side::Debit, 10, &[]), holds.next_expiry_ns(0)), (0, 10));
    holds.remove(TransferId(1));
    assert_eq!(holds.next_expiry_ns(0), 20);
    holds.remove(TransferId(4));
    holds.remove(TransferId(u128::MAX));
    assert!(holds.is_empty() && !holds.any_unexpired(0));
    assert_eq!((holds.len(), holds.next_expiry_ns(0)), (0, u64::MAX));
    assert_eq!(holds, Holds::default());
}

#[test]
#[should_panic(expected = "is made once")]
fn a_hold_is_made_once() {
    holds().insert(TransferId(4), hold(Side::Debit, 1, 10));
}
