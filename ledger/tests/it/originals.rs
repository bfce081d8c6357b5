//! What may be done to an earlier order, in every state that it can be in.

use crate::samples::{credit, debit, hold, post, reversal, transaction, void};
use ledger::original::{expire, resolve};
use ledger::{
    AMOUNT_MAX, AssetId, Effect, Facts, HoldState, Leg, Order, OrderKind, Original, Refusal, RefusalDetail,
    ReversedFacts, Role, Route, Side, Status, TransferId, Unresolved, WalletId,
};

const EXPIRY: u64 = 1_000;

fn held(state: HoldState) -> Original {
    Original::Hold { terms: hold(50, EXPIRY), state }
}

fn moved(amount: u128, reversed: u128) -> Original {
    let mut original = Original::moved(WalletId(1), WalletId(2), AssetId(1), amount);
    if let Original::Moved { reversed: before, .. } = &mut original {
        *before = reversed;
    }
    original
}

fn unresolved(status: Status, left: Option<u128>, valid_until_ns: u64) -> Unresolved {
    let detail = left.map_or(RefusalDetail::None, |left| RefusalDetail::AmountExceeded { left });
    Unresolved { refusal: Refusal { status, detail }, valid_until_ns }
}

#[test]
fn a_hold_is_captured_or_released_once_in_time_and_to_what_it_holds() {
    let moved = moved(9, 0);
    let cases = [
        (None, Status::PendingNotFound),
        (Some(moved), Status::NotPending),
        (Some(Original::Neither), Status::NotPending),
        (Some(held(HoldState::Posted)), Status::PendingAlreadyPosted),
        (Some(held(HoldState::Voided)), Status::PendingAlreadyVoided),
        (Some(held(HoldState::Expired)), Status::PendingExpired),
    ];
    for (original, status) in cases {
        for order in [Order::Post(post(2, 1, 51)), Order::Void(void(2, 1))] {
            for now_ns in [1, EXPIRY - 1, EXPIRY] {
                let expected = Err(unresolved(status, None, u64::MAX));
                assert_eq!(resolve(&order, original.as_ref(), now_ns), expected, "{order:?} {original:?}");
            }
        }
    }
    let open = held(HoldState::Open);
    for (amount, captured) in [(0, 50), (50, 50), (49, 49), (1, 1)] {
        let resolution = resolve(&Order::Post(post(2, 1, amount)), Some(&open), EXPIRY - 1).expect("in time");
        assert_eq!(resolution.facts, Facts::Hold(hold(50, EXPIRY)));
        assert_eq!(resolution.valid_until_ns, EXPIRY);
        assert_eq!(resolution.route, Route::of_resolution(TransferId(1), &hold(50, EXPIRY), captured));
    }
    let released = resolve(&Order::Void(void(2, 1)), Some(&open), EXPIRY - 1).expect("in time");
    assert_eq!(released.route, Route::of_resolution(TransferId(1), &hold(50, EXPIRY), 0));
    assert_eq!((released.facts, released.valid_until_ns), (Facts::Hold(hold(50, EXPIRY)), EXPIRY));
    for order in [Order::Post(post(2, 1, 51)), Order::Post(post(2, 1, 1)), Order::Void(void(2, 1))] {
        let late = resolve(&order, Some(&open), EXPIRY);
        assert_eq!(late, Err(unresolved(Status::PendingExpired, None, u64::MAX)));
    }
    // More than is held: that is what is said only as long as it has not expired.
    let too_much = resolve(&Order::Post(post(2, 1, 51)), Some(&open), EXPIRY - 1);
    assert_eq!(too_much, Err(unresolved(Status::ExceedsPendingAmount, Some(50), EXPIRY)));
    let for_ever = Original::Hold { terms: hold(50, u64::MAX), state: HoldState::Open };
    let resolution = resolve(&Order::Post(post(2, 1, 0)), Some(&for_ever), u64::MAX).expect("never late");
    assert_eq!(resolution.valid_until_ns, u64::MAX);
}

#[test]
fn a_hold_expires_once_and_not_before_its_time() {
    let id = TransferId(1);
    let open = held(HoldState::Open);
    assert_eq!(expire(id, Some(&open), EXPIRY - 1), None);
    for now_ns in [EXPIRY, u64::MAX] {
        let resolution = expire(id, Some(&open), now_ns).expect("it is time");
        assert_eq!(resolution.route, Route::of_resolution(id, &hold(50, EXPIRY), 0));
        assert_eq!((resolution.facts, resolution.valid_until_ns), (Facts::Hold(hold(50, EXPIRY)), u64::MAX));
    }
    for state in [HoldState::Posted, HoldState::Voided, HoldState::Expired] {
        assert_eq!(expire(id, Some(&held(state)), EXPIRY), None, "{state:?}");
    }
    assert_eq!(expire(id, None, EXPIRY), None);
    assert_eq!(expire(id, Some(&Original::Neither), EXPIRY), None);
    assert_eq!(expire(id, Some(&moved(5, 0)), EXPIRY), None);
    let for_ever = Original::Hold { terms: hold(50, u64::MAX), state: HoldState::Open };
    assert_eq!(expire(id, Some(&for_ever), u64::MAX), None);
}

#[test]
fn what_was_moved_moves_back_until_nothing_is_left() {
    let back = |original: Option<&Original>, amount| match resolve(
        &Order::Reversal(reversal(2, 1, amount)),
        original,
        5,
    ) {
        Ok(resolution) => {
            assert_eq!(resolution.valid_until_ns, u64::MAX);
            let Facts::Reversed(facts) = resolution.facts else { panic!("it reverses") };
            let legs = [debit(2, 1, facts.amount), credit(1, 1, facts.amount)];
            assert_eq!(facts.legs, legs.into());
            assert_eq!((facts.of_transaction, facts.original_amount), (false, 90));
            assert_eq!(resolution.route, Route::of_reversed(&legs, false));
            Ok(facts.amount)
        }
        Err(unresolved) => Err(unresolved),
    };
    let refused = |status, left| Err(unresolved(status, left, u64::MAX));
    assert_eq!(back(None, 1), refused(Status::OriginalNotFound, None));
    assert_eq!(back(Some(&Original::Neither), 1), refused(Status::OriginalNotReversible, None));
    for state in [HoldState::Open, HoldState::Posted, HoldState::Voided, HoldState::Expired] {
        assert_eq!(back(Some(&held(state)), 1), refused(Status::OriginalNotReversible, None));
    }
    assert_eq!(back(Some(&moved(90, 0)), 0), Ok(90));
    assert_eq!(back(Some(&moved(90, 0)), 90), Ok(90));
    assert_eq!(back(Some(&moved(90, 0)), 91), refused(Status::ExceedsOriginalAmount, Some(90)));
    assert_eq!(back(Some(&moved(90, 0)), 1), Ok(1));
    assert_eq!(back(Some(&moved(90, 60)), 0), Ok(30));
    assert_eq!(back(Some(&moved(90, 60)), 30), Ok(30));
    assert_eq!(back(Some(&moved(90, 60)), 31), refused(Status::ExceedsOriginalAmount, Some(30)));
    assert_eq!(back(Some(&moved(90, 90)), 0), refused(Status::OriginalAlreadyReversed, None));
    assert_eq!(back(Some(&moved(90, 90)), 1), refused(Status::OriginalAlreadyReversed, None));
}

#[test]
fn a_transaction_is_reversed_in_full_once_with_every_leg_the_other_way() {
    let legs = [debit(1, 1, 7), credit(2, 1, 7), debit(3, 2, 5), credit(4, 2, 5)];
    let mut original = Original::transaction(&transaction(1, &legs).legs);
    let whole = resolve(&Order::Reversal(reversal(2, 1, 0)), Some(&original), 5).expect("it can be");
    let back: Box<[Leg]> = legs.iter().map(|leg| Leg { side: leg.side.opposite(), ..*leg }).collect();
    assert_eq!(back[0].side, Side::Credit);
    assert_eq!(whole.route, Route::of_legs(&back));
    let facts = ReversedFacts { legs: back, of_transaction: true, amount: 1, original_amount: 1 };
    assert_eq!(whole.facts, Facts::Reversed(facts));
    for amount in [1, 2, 7] {
        let part = resolve(&Order::Reversal(reversal(2, 1, amount)), Some(&original), 5);
        assert_eq!(part, Err(unresolved(Status::TransactionReversedInFullOnly, None, u64::MAX)));
    }
    original.progress(OrderKind::Reversal, &whole.facts);
    for amount in [0, 1] {
        let again = resolve(&Order::Reversal(reversal(3, 1, amount)), Some(&original), 5);
        assert_eq!(again, Err(unresolved(Status::OriginalAlreadyReversed, None, u64::MAX)));
    }
}

#[test]
fn an_original_progresses_with_what_is_done_about_it() {
    let facts = Facts::Hold(hold(50, EXPIRY));
    for (kind, state) in [
        (OrderKind::Post, HoldState::Posted),
        (OrderKind::Void, HoldState::Voided),
        (OrderKind::Expire, HoldState::Expired),
    ] {
        let mut original = held(HoldState::Open);
        original.progress(kind, &facts);
        assert_eq!(original, held(state));
    }
    let mut original = moved(AMOUNT_MAX, 5);
    let part = |amount| {
        let legs = Box::default();
        Facts::Reversed(ReversedFacts { legs, of_transaction: false, amount, original_amount: AMOUNT_MAX })
    };
    original.progress(OrderKind::Reversal, &part(AMOUNT_MAX - 5));
    assert_eq!(original, moved(AMOUNT_MAX, AMOUNT_MAX));
    let names =
        [HoldState::Open, HoldState::Posted, HoldState::Voided, HoldState::Expired].map(HoldState::name);
    assert_eq!(names, ["open", "posted", "voided", "expired"]);
}

/// Those that give first, then those that only take, each in the order of their ids; each once, with all its legs.
#[test]
fn a_route_visits_each_wallet_once_with_all_that_is_done_to_it() {
    let legs = [
        credit(9, 1, 4),
        debit(7, 1, 3),
        credit(7, 1, 10),
        debit(3, 1, 11),
        credit(2, 2, 5),
        debit(7, 1, 5),
        credit(9, 1, 5),
        debit(8, 2, 5),
    ];
    let route = Route::of_legs(&legs);
    let visited: Vec<_> = route
        .parts()
        .iter()
        .map(|part| {
            let Effect::Move { debits, credits } = part.effect else { panic!("legs move") };
            let Role::Legs { debit, credit } = part.role else { panic!("of legs") };
            (part.wallet.0, part.asset.0, debits, credits, debit, credit)
        })
        .collect();
    assert_eq!(
        visited,
        [
            (3, 1, 11, 0, Some(3), None),
            (7, 1, 8, 10, Some(1), Some(2)),
            (8, 2, 5, 0, Some(7), None),
            (2, 2, 0, 5, None, Some(4)),
            (9, 1, 0, 9, None, Some(0)),
        ]
    );
    // Two legs that are a reversal's, and two that are a transaction's.
    let pair = [debit(2, 1, 4), credit(1, 1, 4)];
    let roles = |route: &Route| route.parts().iter().map(|part| part.role).collect::<Vec<_>>();
    assert_eq!(roles(&Route::of_reversed(&pair, false)), [Role::Debit, Role::Credit]);
    let (first, second) =
        (Role::Legs { debit: Some(0), credit: None }, Role::Legs { debit: None, credit: Some(1) });
    assert_eq!(roles(&Route::of_reversed(&pair, true)), [first, second]);
    assert_eq!(Route::None.parts(), []);
    let part = route.parts()[0];
    assert_eq!(Route::One(part).parts(), [part]);
}
