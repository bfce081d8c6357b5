//! Events: what is made of an entry, and which of them a filter wants.

use crate::samples::{Message, events, hold_terms, open, post, transfer};
use ledger::{AssetId, Entry, OrderKind, Side, Status, WalletId};
use protocol::{
    Event, EventFilter, EventKind, Events, EventsFrame, FRAME_HARD_MAX, FRAME_LIMIT_MIN, Happening, Movement,
    PositionChange, Reply,
};

#[test]
fn a_frame_that_is_made_event_by_event_is_the_same_as_one_made_at_once() {
    let events = events();
    let mut frame = EventsFrame::new(7, FRAME_HARD_MAX);
    for event in &events {
        assert!(frame.push(event));
    }
    assert_eq!(frame.count(), events.len() as u64);
    let reply = Reply::Events(Ok(Events { through_seq: 20, durable_seq: 30, events }));
    assert_eq!(frame.finish(20, 30), Message::Reply(reply).frame(7));
    let nothing = Reply::Events(Ok(Events { through_seq: 20, durable_seq: 30, events: Vec::new() }));
    assert_eq!(EventsFrame::new(7, FRAME_LIMIT_MIN).finish(20, 30), Message::Reply(nothing).frame(7));
}

#[test]
fn a_frame_takes_as_many_events_as_fit_and_is_whole_without_the_next() {
    let events = events();
    let mut frame = EventsFrame::new(7, 1_000);
    let fit = events.iter().take_while(|event| frame.push(event)).count();
    assert!(fit > 0 && fit < events.len(), "{fit} of {}", events.len());
    let bytes = frame.finish(fit as u64, 30);
    assert!(bytes.len() <= 1_000);
    let (header, body) = open(&bytes);
    let Ok(Reply::Events(Ok(told))) = protocol::decode_reply(header.message_type, body) else {
        panic!("not events")
    };
    assert_eq!(told.events, events[..fit]);
}

#[test]
fn an_event_says_what_its_entry_does_to_which_wallet() {
    let told = Event::of_entry(5, 6, Entry::Posted { post: post(), hold: hold_terms() });
    let Happening::OrderDone { order, outcome, movements } = &told.what else { panic!("{told:?}") };
    assert_eq!(
        (order.id(), outcome.status, outcome.seq, outcome.timestamp_ns),
        (post().id, Status::Created, 5, 6)
    );
    let movement = |wallet, side| Movement {
        wallet,
        asset: AssetId(840),
        change: PositionChange::Resolved { side, held: 10_050, captured: 9_000 },
    };
    let hold = hold_terms();
    assert_eq!(
        **movements,
        [movement(hold.debit_wallet, Side::Debit), movement(hold.credit_wallet, Side::Credit)]
    );
}

#[test]
fn kinds_are_found_by_their_numbers_and_no_two_have_the_same() {
    for kind in EventKind::ALL {
        assert_eq!(EventKind::from_number(kind.number()), Some(kind));
    }
    for kind in OrderKind::ALL {
        assert_eq!(EventKind::from_number(kind.number()), Some(EventKind::Done(kind)));
    }
    for number in [0, 8, 99, 105, 255] {
        assert_eq!(EventKind::from_number(number), None);
    }
}

#[test]
fn a_filter_wants_what_meets_all_of_its_conditions() {
    let events = events();
    let check = |filter: EventFilter, expected: &[u64]| {
        let wanted: Vec<u64> =
            events.iter().filter(|event| filter.wants(event)).map(|event| event.seq).collect();
        assert_eq!(wanted, expected, "{filter:?}");
    };
    let all: Vec<u64> = (1..=15).collect();
    let (bank, alice) = (transfer().debit_wallet, transfer().credit_wallet);
    check(EventFilter::default(), &all);
    let of = |wallets: &[WalletId]| EventFilter { wallets: wallets.to_vec(), ..EventFilter::default() };
    // The bank has not been created here; the refused release names no wallet.
    check(of(&[bank]), &[3, 4, 5, 6, 7, 8, 9, 10]);
    check(of(&[alice]), &[2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14]);
    check(of(&[WalletId(77)]), &[]);
    check(of(&[WalletId(77), bank]), &[3, 4, 5, 6, 7, 8, 9, 10]);
    let kinds = |kinds: &[EventKind]| EventFilter { kinds: kinds.to_vec(), ..EventFilter::default() };
    check(kinds(&[EventKind::OrderRefused]), &[4, 11]);
    check(kinds(&[EventKind::Done(OrderKind::Expire), EventKind::AssetCreated]), &[1, 8]);
    check(kinds(&[EventKind::WalletCreated, EventKind::WalletChanged]), &[2, 12, 13, 14]);
    check(kinds(&[EventKind::ImportClosed]), &[15]);
    check(EventFilter { code: Some(3), ..EventFilter::default() }, &[3, 4, 5]);
    check(EventFilter { code: Some(4), ..EventFilter::default() }, &[6, 7, 9, 10, 11]);
    check(EventFilter { code: Some(4), ..of(&[alice]) }, &[6, 7, 9, 10]);
}
