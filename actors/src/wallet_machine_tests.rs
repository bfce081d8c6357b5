//! The budget of restarts, to the nanosecond.

use crate::test_house::House;
use crate::wallet_machine::{RESTART_WINDOW_NS, RESTARTS_MAX, Turn, WalletMachine};
use ledger::WalletId;

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_wallet_is_quarantined_by_more_than_five_restarts_within_a_minute_and_not_by_fewer_or_slower_ones() {
    let check = |restarts_ns: &[u64], is_quarantined_by: Option<usize>| {
        let house = House::new(false);
        let mut machine = WalletMachine::new(WalletId(1), None, 0);
        for (index, &now_ns) in restarts_ns.iter().enumerate() {
            let mut post = house.mailboxes.clone();
            let mut turn = Turn { core: &house.core, now_ns, post: &mut post };
            let restarted = machine.restart(&mut turn);
            let is_quarantined = is_quarantined_by == Some(index);
            assert_eq!(restarted.is_none(), is_quarantined, "{restarts_ns:?}: restart {index}");
            assert_eq!(machine.is_quarantined(), is_quarantined, "{restarts_ns:?}: restart {index}");
        }
    };
    assert_eq!((RESTARTS_MAX, RESTART_WINDOW_NS), (5, 60 * SECOND));
    check(&[1, 2, 3, 4, 5], None);
    check(&[1, 2, 3, 4, 5, 6], Some(5));
    // The first is a minute and a nanosecond ago when the sixth comes; and then exactly a minute.
    let sixth = |after_ns| [1, 2, 3, 4, 5, 1 + after_ns];
    check(&sixth(RESTART_WINDOW_NS + 1), None);
    check(&sixth(RESTART_WINDOW_NS), Some(5));
    // One every thirteen seconds, for ever: never more than five in a minute.
    let slow: Vec<u64> = (1..=100).map(|restart| restart * 13 * SECOND).collect();
    check(&slow, None);
    let faster: Vec<u64> = (1..=6).map(|restart| restart * 12 * SECOND).collect();
    check(&faster, Some(5));
}
