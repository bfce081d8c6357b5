//! Reads page by page, and subscriptions, against a server that breaks off, falls silent, or refuses. Time is paused: it
//! moves on only when everybody waits.

use crate::fake_server::{FakeServer, Peer, error, fake_server};
use crate::{Client, ClientError, ClientOptions, Subscription};
use ledger::{AssetId, Entry, Position, Status, Transfer, TransferId, WalletId};
use protocol::{
    ErrorCode, Event, EventFilter, Events, Moment, PositionsAt, Reply, Request, StatementCursor,
    StatementPage, StatementQuery, Subscribe,
};
use std::time::Duration;
use tokio::time::Instant;

async fn client() -> (Client, Peer, FakeServer) {
    let (mut server, endpoint) = fake_server();
    let options = ClientOptions::default();
    let (client, peer) = tokio::join!(Client::connect_to(endpoint, options), server.accept());
    (client.expect("the server welcomes"), peer, server)
}

fn event(seq: u64) -> Event {
    let transfer = Transfer {
        id: TransferId(u128::from(seq)),
        debit_wallet: WalletId(1),
        credit_wallet: WalletId(2),
        asset: AssetId(1),
        amount: 1,
        group_id: 0,
        code: 0,
        effective_at_ns: 0,
        metadata: Box::default(),
    };
    Event::of_entry(seq, seq, Entry::Transferred(transfer))
}

/// Events up to `through_seq` of these entries.
fn events(seqs: impl IntoIterator<Item = u64>, through_seq: u64) -> Reply {
    let events = seqs.into_iter().map(event).collect();
    Reply::Events(Ok(Events { through_seq, durable_seq: 9_999, events }))
}

fn subscribe(request: Request) -> Subscribe {
    let Request::Subscribe(request) = request else { panic!("no subscription: {request:?}") };
    request.what
}

async fn seqs(subscription: &mut Subscription, count: usize) -> Vec<u64> {
    let mut seqs = Vec::new();
    for _ in 0..count {
        seqs.push(subscription.next().await.expect("an event").seq);
    }
    seqs
}

#[tokio::test(start_paused = true)]
async fn a_subscription_goes_on_behind_the_last_event_when_its_connection_breaks() {
    let (client, mut peer, mut server) = client().await;
    let serve = async {
        let (id, request) = peer.receive().await;
        assert_eq!(subscribe(request).from_seq, Some(5));
        peer.reply(id, &events([], 4)).await;
        peer.reply(id, &events([5, 6], 6)).await;
        peer.reply(id, &events([9], 12)).await;
        drop(peer);
        let mut peer = server.accept().await;
        let (id, request) = peer.receive().await;
        assert_eq!(subscribe(request).from_seq, Some(13));
        peer.reply(id, &events([13], 13)).await;
        (peer, server)
    };
    let mut subscription = client.subscribe(Some(5), EventFilter::default());
    assert_eq!(subscription.through_seq(), Some(4));
    let (seqs, kept) = tokio::join!(seqs(&mut subscription, 4), serve);
    assert_eq!(seqs, [5, 6, 9, 13]);
    assert_eq!((subscription.through_seq(), subscription.durable_seq()), (Some(13), 9_999));
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn events_that_came_before_a_break_are_not_lost_with_it() {
    let (client, mut peer, mut server) = client().await;
    let serve = async {
        let (id, _) = peer.receive().await;
        peer.reply(id, &events([1, 2, 3], 3)).await;
        drop(peer);
        let mut peer = server.accept().await;
        let (id, request) = peer.receive().await;
        assert_eq!(subscribe(request).from_seq, Some(4));
        peer.reply(id, &events([4], 4)).await;
        (peer, server)
    };
    let taken = async {
        let mut subscription = client.subscribe(Some(0), EventFilter::default());
        let first = subscription.next().await.unwrap().seq;
        assert_eq!(subscription.through_seq(), Some(1));
        // The connection is gone long before the others are taken.
        tokio::time::sleep(Duration::from_secs(1)).await;
        [&[first], &seqs(&mut subscription, 3).await[..]].concat()
    };
    let (taken, kept) = tokio::join!(taken, serve);
    assert_eq!(taken, [1, 2, 3, 4]);
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_to_what_is_new_goes_on_from_where_it_first_was() {
    let (client, mut peer, mut server) = client().await;
    let serve = async {
        let (id, request) = peer.receive().await;
        assert_eq!(subscribe(request).from_seq, None);
        peer.reply(id, &events([], 70)).await;
        drop(peer);
        let mut peer = server.accept().await;
        let (id, request) = peer.receive().await;
        assert_eq!(subscribe(request).from_seq, Some(71));
        peer.reply(id, &events([71], 71)).await;
        (peer, server)
    };
    let mut subscription = client.subscribe(None, EventFilter::default());
    assert_eq!(subscription.through_seq(), None);
    let (event, kept) = tokio::join!(subscription.next(), serve);
    assert_eq!(event.unwrap().seq, 71);
    drop(kept);
}

#[tokio::test(start_paused = true)]
async fn as_many_events_are_let_come_as_were_taken() {
    let (client, mut peer, _server) = client().await;
    let serve = async {
        let (id, request) = peer.receive().await;
        let credit = u64::from(subscribe(request).credit);
        peer.reply(id, &events(1..=credit, credit)).await;
        let (more_id, request) = peer.receive().await;
        let Request::MoreEvents(more) = request else { panic!("{request:?}") };
        assert_eq!((more.what.subscription, u64::from(more.what.credit)), (id, credit));
        peer.reply(more_id, &Reply::MoreEvents(credit)).await;
        peer.reply(id, &events([credit + 1], credit + 1)).await;
        credit
    };
    let mut subscription = client.subscribe(Some(1), EventFilter::default());
    let taken = async {
        let mut last = 0;
        for expected in 1..=2_049 {
            last = subscription.next().await.unwrap().seq;
            assert_eq!(last, expected);
        }
        last
    };
    let (last, credit) = tokio::join!(taken, serve);
    assert_eq!(last, credit + 1);
}

#[tokio::test(start_paused = true)]
async fn events_up_to_an_entry_end_when_it_is_passed_also_if_it_is_not_wanted() {
    let (client, mut peer, _server) = client().await;
    let serve = async {
        let (id, _) = peer.receive().await;
        peer.reply(id, &events([2, 5], 5)).await;
        peer.reply(id, &events([], 8)).await;
        peer.reply(id, &events([11], 11)).await;
        peer
    };
    let mut subscription = client.subscribe(Some(1), EventFilter::default());
    let taken = async {
        let mut until = async |seq| subscription.next_until(seq).await.unwrap().map(|event| event.seq);
        assert_eq!(until(3).await, Some(2));
        assert_eq!(until(3).await, None);
        assert_eq!(until(7).await, Some(5));
        assert_eq!(until(7).await, None);
        assert_eq!(until(10).await, None);
        assert_eq!(until(11).await, Some(11));
        assert_eq!(until(11).await, None);
    };
    let ((), _peer) = tokio::join!(taken, serve);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscription_is_ended_and_leaves_nothing_behind() {
    let (client, mut peer, _server) = client().await;
    let serve = async {
        let (id, _) = peer.receive().await;
        peer.reply(id, &events([1], 1)).await;
        let (ending, request) = peer.receive().await;
        let Request::Unsubscribe(unsubscribe) = request else { panic!("{request:?}") };
        assert_eq!(unsubscribe.what, id);
        // One that was on its way.
        peer.reply(id, &events([2], 2)).await;
        peer.reply(ending, &Reply::Unsubscribe(2)).await;
        let (ping, _) = peer.receive().await;
        peer.reply(ping, &crate::fake_server::pong(2)).await;
        peer
    };
    let taken = async {
        let mut subscription = client.subscribe(Some(1), EventFilter::default());
        subscription.next().await.unwrap();
        drop(subscription);
        tokio::time::sleep(Duration::from_millis(1)).await;
        // The connection is as good as before.
        client.ping().await.unwrap();
        client.connection().await.unwrap()
    };
    let (connection, _peer) = tokio::join!(taken, serve);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(connection.in_flight(), 0);
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_is_refused_says_why_at_once() {
    let (client, mut peer, _server) = client().await;
    let serve = async {
        let (id, _) = peer.receive().await;
        peer.reply(id, &Reply::Events(Err(Status::MomentInTheFuture))).await;
        let (id, _) = peer.receive().await;
        peer.reply(id, &error(ErrorCode::TooManySubscriptions, 0)).await;
        peer
    };
    let asked = async {
        let refused = client.subscribe(Some(1_000), EventFilter::default()).next().await;
        let Err(ClientError::QueryRefused { status: Status::MomentInTheFuture, .. }) = refused else {
            panic!("{refused:?}")
        };
        let refused = client.subscribe(Some(1), EventFilter::default()).next().await;
        let Err(ClientError::Refused { code: ErrorCode::TooManySubscriptions, .. }) = refused else {
            panic!("{refused:?}")
        };
    };
    let begun = Instant::now();
    let ((), _peer) = tokio::join!(asked, serve);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_on_a_subscription_is_left_for_another_connection() {
    let (client, mut peer, mut server) = client().await;
    let serve = async {
        let (id, _) = peer.receive().await;
        peer.reply(id, &events([1], 1)).await;
        // Silent, and not closed.
        let mut second = server.accept().await;
        let (id, request) = second.receive().await;
        assert_eq!(subscribe(request).from_seq, Some(2));
        second.reply(id, &events([2], 2)).await;
        (peer, second, server)
    };
    let mut subscription = client.subscribe(Some(1), EventFilter::default());
    let (seqs, _kept) = tokio::join!(seqs(&mut subscription, 2), serve);
    assert_eq!(seqs, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_stays_away_is_an_error_after_a_while_and_the_place_is_kept() {
    let (client, mut peer, server) = client().await;
    let serve = async {
        let (id, _) = peer.receive().await;
        peer.reply(id, &events([1], 1)).await;
        drop((peer, server));
    };
    let mut subscription = client.subscribe(Some(1), EventFilter::default());
    let taken = async {
        subscription.next().await.unwrap();
        let begun = Instant::now();
        let failed = subscription.next().await;
        assert!(matches!(failed, Err(ClientError::Connect { .. })), "{failed:?}");
        let patience = begun.elapsed();
        assert!((Duration::from_secs(5)..Duration::from_secs(11)).contains(&patience), "{patience:?}");
        assert_eq!(subscription.through_seq(), Some(1));
    };
    tokio::join!(taken, serve);
}

#[tokio::test(start_paused = true)]
async fn a_statement_is_read_page_by_page_with_the_cursor_of_the_page_before() {
    let (client, mut peer, _server) = client().await;
    let cursor = StatementCursor { as_of_seq: 9, seq: 4, query: 7 };
    let page = |next| Reply::Statement(Ok(StatementPage { as_of_seq: 9, next, ..StatementPage::default() }));
    let serve = async {
        let mut cursors = Vec::new();
        for next in [Some(cursor), None] {
            let (id, request) = peer.receive().await;
            let Request::Statement(query) = request else { panic!("{request:?}") };
            cursors.push(query.what.cursor);
            peer.reply(id, &page(next)).await;
        }
        let (id, _) = peer.receive().await;
        peer.reply(id, &Reply::Statement(Err(Status::WalletNotFound))).await;
        cursors
    };
    let read = async {
        let mut pages = client.statement_pages(StatementQuery::of(WalletId(1)));
        assert!(pages.next().await.unwrap().is_some());
        assert!(pages.next().await.unwrap().is_some());
        assert!(pages.next().await.unwrap().is_none());
        client.statement(&StatementQuery::of(WalletId(2))).await
    };
    let (refused, cursors) = tokio::join!(read, serve);
    assert_eq!(cursors, [None, Some(cursor)]);
    let Err(ClientError::QueryRefused { status: Status::WalletNotFound, .. }) = refused else {
        panic!("{refused:?}")
    };
}

#[tokio::test(start_paused = true)]
async fn balances_of_many_wallets_are_all_of_the_same_moment() {
    let (client, mut peer, _server) = client().await;
    let ids: Vec<WalletId> = (1..=25).map(WalletId).collect();
    let serve = async {
        let mut asked = Vec::new();
        for _ in 0..3 {
            let (id, request) = peer.receive().await;
            let Request::BalancesAt(query) = request else { panic!("{request:?}") };
            asked.push((query.what.at, query.what.ids.len()));
            let position = |id: &WalletId| Some(Position { credits_posted: id.0, ..Position::default() });
            let positions = query.what.ids.iter().map(position).collect();
            peer.reply(id, &Reply::BalancesAt(Ok(PositionsAt { as_of_seq: 44, positions }))).await;
        }
        asked
    };
    let (answer, asked) = tokio::join!(client.balances_at(Moment::TimestampNs(5), &ids), serve);
    let answer = answer.unwrap();
    assert_eq!(asked, [(Moment::TimestampNs(5), 10), (Moment::Seq(44), 10), (Moment::Seq(44), 5)]);
    let credits: Vec<u128> = answer.positions.iter().flatten().map(|at| at.credits_posted).collect();
    assert_eq!(credits, (1..=25).collect::<Vec<_>>());
}
