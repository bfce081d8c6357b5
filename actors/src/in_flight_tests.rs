//! However an operation ends: its ticket, its reservation, its claim, those who wait for the same id, and its request.

use crate::claims::Claim;
use crate::in_flight::{ATTEMPTS_MAX, InFlight, Reserved};
use crate::references;
use crate::request::Operations;
use crate::shard_machine::ShardMessage;
use crate::test_house::{Asked, House, NOW, transfer, wallet_terms};
use crate::ticket::Fate;
use ledger::{Memo, Order, Outcome, Post, RefusalDetail, Status, TransferId, WalletId};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn refused(status: Status) -> Outcome {
    Outcome::refused(status.into())
}

/// What is at this place of what was posted is a new attempt at this transfer, for the debit wallet's shard.
fn begun(house: &House, (shard, message): (usize, ShardMessage)) -> InFlight {
    assert_eq!(shard, house.core.shard_of(WalletId(1)));
    match message {
        ShardMessage::BeginOne(in_flight) => in_flight,
        other => panic!("nothing is begun by {other:?}"),
    }
}

const RESERVED: Reserved = Reserved { wallet: WalletId(1), slot: 3 };

#[test]
fn a_commit_tells_the_wallet_that_reserved_those_who_wait_and_the_request() {
    // Announced by the wallet, or by nobody because the wallet has panicked.
    for announced in [true, false] {
        let mut house = House::new(false);
        let (first, again) = (house.transfer(7, u64::MAX), house.transfer(7, u64::MAX));
        let mut in_flight = house.granted(&first);
        house.waits(&again);
        in_flight.set_reserved(RESERVED);
        let attempt = in_flight.attempt();
        let committed = in_flight.commit_order(NOW).expect("it is open");
        let told = committed.committed;
        assert_eq!(
            first.request.ticket(0).fate(0),
            Fate::Committed { seq: 1, timestamp_ns: told.timestamp_ns }
        );
        assert_eq!(committed.order(), Some(&Order::Transfer(transfer(7))));
        assert!(house.posted().is_empty() && !first.is_answered());
        if announced {
            committed.announce(&mut house.mailboxes.clone());
        } else {
            drop(committed);
        }
        let posted = house.posted();
        assert_eq!(posted.len(), 1, "{posted:?}");
        let expected_shard = house.core.shard_of(WalletId(1));
        assert!(
            matches!(&posted[0], (shard, ShardMessage::Settled { reserved: RESERVED, attempt: by, committed })
                if *shard == expected_shard && *by == attempt && *committed == told),
            "{posted:?}"
        );
        let outcome = house.outcome(&first);
        assert_eq!((outcome.status, outcome.seq, outcome.replayed), (Status::Created, 1, false));
        assert!(outcome.timestamp_ns >= NOW);
        let replayed = Outcome { status: Status::Exists, replayed: true, ..outcome };
        assert_eq!(again.outcome(), replayed);
        assert_eq!(house.core.claims.decided(TransferId(7)), Some(1));
    }
}

#[test]
fn a_commit_without_a_reservation_tells_no_wallet() {
    let mut house = House::new(false);
    let asked = house.transfer(7, u64::MAX);
    house.granted(&asked).commit_order(NOW).expect("it is open").announce(&mut house.mailboxes.clone());
    assert!(house.posted().is_empty());
    assert_eq!(house.outcome(&asked).status, Status::Created);
}

#[test]
fn a_refusal_for_good_releases_uses_the_id_up_and_is_what_the_others_are_told() {
    let mut house = House::new(false);
    let (first, again) = (house.transfer(7, u64::MAX), house.transfer(7, u64::MAX));
    let mut in_flight = house.granted(&first);
    house.waits(&again);
    in_flight.set_reserved(RESERVED);
    let attempt = in_flight.attempt();
    in_flight.refuse_for_good(
        Status::CreditWalletNotFound.into(),
        u64::MAX,
        NOW,
        &mut house.mailboxes.clone(),
    );
    let posted = house.posted();
    assert!(
        matches!(&posted[..], [(_, ShardMessage::Released { reserved: RESERVED, attempt: told })] if *told == attempt),
        "{posted:?}"
    );
    assert_eq!(first.request.ticket(0).fate(0), Fate::Cancelled, "what was reserved is not taken");
    let outcome = house.outcome(&first);
    assert_eq!((outcome.status, outcome.seq), (Status::CreditWalletNotFound, 1));
    let told = again.outcome();
    let detail = RefusalDetail::AlreadyRefused { first_status: Status::CreditWalletNotFound };
    assert_eq!((told.status, told.seq, told.detail), (Status::IdAlreadyRefused, 1, detail));
    assert_eq!(house.core.claims.decided(TransferId(7)), Some(1));
}

#[test]
fn a_refusal_for_now_frees_the_id_or_gives_it_to_who_waits() {
    let mut house = House::new(false);
    let (first, next, last) =
        (house.transfer(7, u64::MAX), house.transfer(7, u64::MAX), house.transfer(7, u64::MAX));
    let mut in_flight = house.granted(&first);
    house.waits(&next);
    house.waits(&last);
    in_flight.set_reserved(RESERVED);
    in_flight.refuse_for_now(Status::Unavailable, &mut house.mailboxes.clone());
    assert_eq!(house.outcome(&first), refused(Status::Unavailable));
    let mut posted = house.posted();
    assert_eq!(posted.len(), 2, "{posted:?}");
    let next_in_flight = begun(&house, posted.pop().expect("two"));
    assert!(matches!(posted[0].1, ShardMessage::Released { reserved: RESERVED, .. }), "{posted:?}");
    assert_eq!(next_in_flight.attempt().item, next.item());
    assert!(!next.is_answered() && !last.is_answered());

    next_in_flight.refuse_for_now(Status::Contended, &mut house.mailboxes.clone());
    assert_eq!(house.outcome(&next), refused(Status::Contended));
    let mut posted = house.posted();
    let last_in_flight = begun(&house, posted.pop().expect("one"));
    assert!(posted.is_empty(), "nothing was reserved: {posted:?}");
    last_in_flight.refuse_for_now(Status::Contended, &mut house.mailboxes.clone());
    assert_eq!(house.outcome(&last), refused(Status::Contended));
    assert!(house.posted().is_empty());
    assert_eq!(house.core.claims.decided(TransferId(7)), None);
    assert_eq!(house.core.claims.claim(TransferId(7), 0, || panic!("nobody waits")), Claim::Granted);
    assert_eq!(house.core.sequencer.appended_seq(), 0);
}

#[test]
fn an_operation_that_is_dropped_anywhere_is_refused_for_now() {
    for (stopping, status) in [(false, Status::InternalError), (true, Status::Unavailable)] {
        let mut house = House::new(false);
        house.core.stopping.store(stopping, Ordering::Relaxed);
        let asked = house.transfer(7, u64::MAX);
        let mut in_flight = house.granted(&asked);
        in_flight.set_reserved(RESERVED);
        drop(in_flight);
        let posted = house.posted();
        assert!(matches!(&posted[..], [(_, ShardMessage::Released { .. })]), "{posted:?}");
        assert_eq!(house.outcome(&asked), refused(status));
        assert_eq!(house.core.claims.claim(TransferId(7), 0, || panic!("nobody waits")), Claim::Granted);
    }
}

#[test]
fn a_cancelled_attempt_commits_nothing_and_is_followed_by_the_next() {
    let mut house = House::new(false);
    let asked = house.transfer(7, u64::MAX);
    let mut in_flight = house.granted(&asked);
    in_flight.set_reserved(RESERVED);
    let old = in_flight.attempt();
    asked.request.ticket(0).cancel_to_retry(0, &mut house.core.sequencer.enter()).expect("it is open");
    let cancelled = in_flight.commit_order(NOW).expect_err("it is cancelled");
    assert_eq!(house.core.sequencer.appended_seq(), 0);
    cancelled.attempt_again(NOW, &mut house.mailboxes.clone());
    let mut posted = house.posted();
    assert_eq!(posted.len(), 2, "{posted:?}");
    let next = begun(&house, posted.pop().expect("two"));
    assert!(
        matches!(&posted[0].1, ShardMessage::Released { reserved: RESERVED, attempt } if *attempt == old),
        "what the old attempt had reserved: {posted:?}"
    );
    assert_eq!((next.attempt().number, old.number), (1, 0));
    assert!(next.attempt() != old, "they are told apart");
    assert_eq!(next.attempt(), next.attempt());
    next.commit_order(NOW).expect("it is open").announce(&mut house.mailboxes.clone());
    assert!(house.posted().is_empty(), "the next attempt has reserved nothing");
    assert_eq!(house.outcome(&asked).status, Status::Created);
}

#[test]
fn an_operation_is_attempted_sixteen_times_and_not_beyond_its_deadline() {
    let mut house = House::new(false);
    let asked = house.transfer(7, NOW + 100);
    let mut in_flight = house.granted(&asked);
    let mut attempts = 1;
    loop {
        in_flight.attempt_again(NOW, &mut house.mailboxes.clone());
        let Some(next) = house.posted().pop() else { break };
        in_flight = begun(&house, next);
        assert_eq!(in_flight.attempt().number, attempts);
        attempts += 1;
    }
    assert_eq!(attempts, 16);
    assert_eq!(attempts, ATTEMPTS_MAX);
    assert_eq!(house.outcome(&asked), refused(Status::Contended));

    for (late_ns, expected) in [(NOW + 99, None), (NOW + 100, Some(Status::DeadlineExceeded))] {
        let asked = house.transfer(8, NOW + 100);
        house.granted(&asked).attempt_again(late_ns, &mut house.mailboxes.clone());
        match expected {
            Some(status) => assert_eq!(house.outcome(&asked), refused(status)),
            None => drop(begun(&house, house.posted().pop().expect("it is begun again"))),
        }
    }
}

#[test]
fn what_was_refused_for_good_meanwhile_is_attempted_again_if_its_attempt_was_cancelled() {
    let mut house = House::new(false);
    let asked = house.transfer(7, u64::MAX);
    let in_flight = house.granted(&asked);
    asked.request.ticket(0).cancel_to_retry(0, &mut house.core.sequencer.enter()).expect("it is open");
    in_flight.refuse_for_good(Status::InsufficientFunds.into(), u64::MAX, NOW, &mut house.mailboxes.clone());
    assert_eq!(house.core.sequencer.appended_seq(), 0, "its refusal may rest on what was cancelled");
    let next = begun(&house, house.posted().pop().expect("it is begun again"));
    next.refuse_for_good(Status::InsufficientFunds.into(), u64::MAX, NOW, &mut house.mailboxes.clone());
    assert_eq!(house.outcome(&asked).status, Status::InsufficientFunds);
}

#[test]
fn a_creation_has_no_claim() {
    let mut house = House::new(false);
    let create =
        |house: &House, id| house.request(Operations::CreateWallets(vec![wallet_terms(id)]), u64::MAX);
    let created = create(&house, 1);
    let committed =
        InFlight::new(created.item(), 0).commit_wallet(NOW).expect("nobody else resolves its ticket");
    assert_eq!(committed.seq, 1);
    let outcome = house.outcome(&created);
    assert_eq!((outcome.status, outcome.seq, outcome.replayed), (Status::Created, 1, false));
    assert!(matches!(created.request.ticket(0).fate(0), Fate::Committed { seq: 1, .. }));

    let again = create(&house, 1);
    let exists = Outcome { status: Status::Exists, replayed: true, ..outcome };
    InFlight::new(again.item(), 0).finish_unclaimed(&exists);
    assert_eq!(again.outcome(), exists);

    let late = create(&house, 2);
    InFlight::new(late.item(), 0).refuse_for_now(Status::DeadlineExceeded, &mut house.mailboxes.clone());
    assert_eq!(late.outcome(), refused(Status::DeadlineExceeded));
    let dropped = create(&house, 3);
    drop(InFlight::new(dropped.item(), 0));
    assert_eq!(dropped.outcome(), refused(Status::InternalError));
    assert!(house.posted().is_empty());
}

#[test]
fn what_it_is_about_is_known_while_it_is_on_its_way() {
    let house = House::new(false);
    let asked = house.transfer(7, NOW);
    let in_flight = house.granted(&asked);
    assert_eq!((in_flight.index(), in_flight.order()), (0, Some(&Order::Transfer(transfer(7)))));
    assert!(Arc::ptr_eq(in_flight.request(), &asked.request));
    assert!(!in_flight.is_past_deadline(NOW - 1) && in_flight.is_past_deadline(NOW));
    let other = house.transfer(7, NOW);
    assert!(in_flight.attempt().item != other.item(), "requests are told apart");
}

/// Each that waits is given the id in turn, finds the mailbox closed, and gives it up: one after another, and not one
/// inside the other.
#[test]
fn however_many_wait_for_one_id_closed_mailboxes_answer_them_all() {
    let house = House::new(true);
    house.core.stopping.store(true, Ordering::Relaxed);
    let first = house.transfer(7, u64::MAX);
    let in_flight = house.granted(&first);
    let waiting: Vec<Asked> = (0..20_000)
        .map(|_| {
            let asked = house.transfer(7, u64::MAX);
            house.waits(&asked);
            asked
        })
        .collect();
    drop(in_flight);
    assert_eq!(first.outcome(), refused(Status::Unavailable));
    for asked in waiting {
        assert_eq!(asked.outcome(), refused(Status::Unavailable));
    }
    assert_eq!(house.core.claims.claim(TransferId(7), 0, || panic!("nobody waits")), Claim::Granted);
}

fn post(id: u128, pending_id: u128) -> Order {
    let (id, pending_id) = (TransferId(id), TransferId(pending_id));
    Order::Post(Post { id, pending_id, amount: 0, memo: Memo::default() })
}

/// Each is the next one's to take over, and ends at once: one after another, by way of a mailbox, and not one inside the
/// other.
#[test]
fn however_many_bring_the_same_capture_each_has_its_turn_in_a_message_of_its_own() {
    let mut house = House::new(false);
    let late = |house: &House| house.order(post(7, 5), NOW);
    let first = late(&house);
    let in_flight = house.granted(&first);
    let waiting: Vec<Asked> = (0..20_000)
        .map(|_| {
            let asked = late(&house);
            house.waits(&asked);
            asked
        })
        .collect();
    in_flight.refuse_for_now(Status::DeadlineExceeded, &mut house.mailboxes.clone());
    assert_eq!(house.outcome(&first), refused(Status::DeadlineExceeded));
    for (number, asked) in waiting.iter().enumerate() {
        let mut posted = house.posted();
        assert_eq!(posted.len(), 1, "{number}");
        let Some((_, ShardMessage::Resume(next))) = posted.pop() else { panic!("{number} is begun") };
        assert_eq!(next.attempt().item, asked.item());
        let core = Arc::clone(&house.core);
        references::resume(&core, next, &mut house.mailboxes.clone());
        assert_eq!(house.outcome(asked), refused(Status::DeadlineExceeded), "{number}");
    }
    assert!(house.posted().is_empty());
    assert_eq!(house.core.claims.claim(TransferId(7), 0, || panic!("nobody waits")), Claim::Granted);
}

/// Each waits for the one before it. When the house is closed they end one after another, and not one inside the other.
#[test]
fn however_long_a_chain_of_orders_about_each_other_is_closing_ends_it() {
    let mut house = House::new(false);
    let first = house.transfer(1, u64::MAX);
    let in_flight = house.granted(&first);
    let chain: Vec<Asked> = (2..=20_000)
        .map(|id| {
            let asked = house.order(post(id, id - 1), u64::MAX);
            let waits = house.granted(&asked);
            let core = Arc::clone(&house.core);
            references::resume(&core, waits, &mut house.mailboxes.clone());
            assert!(!asked.is_answered(), "{id} waits for the one before it");
            asked
        })
        .collect();
    house.core.stopping.store(true, Ordering::Relaxed);
    in_flight.refuse_for_now(Status::Unavailable, &mut house.mailboxes.clone());
    for asked in &chain {
        assert!(house.read(), "each ends in a piece of work of its own");
        assert_eq!(asked.outcome(), refused(Status::Unavailable));
    }
    assert!(!house.read() && house.posted().is_empty());
    assert_eq!(house.outcome(&first), refused(Status::Unavailable));
}

#[test]
fn an_order_waits_for_an_older_claim_and_for_no_younger_one() {
    let mut house = House::new(false);
    let (older, younger) = (house.order(post(7, 8), u64::MAX), house.order(post(8, 7), u64::MAX));
    let (first, second) = (house.granted(&older), house.granted(&younger));
    let core = Arc::clone(&house.core);
    references::resume(&core, second, &mut house.mailboxes.clone());
    assert!(!younger.is_answered(), "it waits for the older one");
    references::resume(&core, first, &mut house.mailboxes.clone());
    assert_eq!(house.outcome(&older), refused(Status::Contended), "which may not wait for it in turn");
    // Now there is no order 7, and none can come until that is journaled.
    let mut posted = house.posted();
    let Some((_, ShardMessage::Resume(second))) = posted.pop() else { panic!("it looks again") };
    references::resume(&core, second, &mut house.mailboxes.clone());
    let outcome = house.outcome(&younger);
    assert_eq!((outcome.status, outcome.seq), (Status::PendingNotFound, 1));
    assert_eq!(house.core.claims.claim(TransferId(7), 0, || panic!("nobody waits")), Claim::Granted);
    assert_eq!(house.core.claims.decided(TransferId(8)), Some(1));
}
