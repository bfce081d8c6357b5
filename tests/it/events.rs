//! Subscriptions: exactly the durable entries in order, from wherever, across breaks and restarts, no more than is asked
//! for; and a subscriber that does not read holds up nobody.

use crate::books::{BANK, assert_all_created, open_books, pay, transfer, wallet};
use crate::raw_connection::{RawConnection, request};
use crate::server::{PATIENCE, Server};
use crate::told_history::ToldHistory;
use client::{
    Client, ClientError, ClientOptions, ErrorCode, Event, EventFilter, EventKind, Events, Subscribe,
    Subscription,
};
use ledger::{OrderKind, Status, Transfer, WalletId};
use protocol::{MoreEvents, Reply, RequestRef};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

const WALLETS: std::ops::Range<u128> = 2..10;

async fn open(client: &Client) {
    open_books(client, &WALLETS.map(wallet).collect::<Vec<_>>()).await;
}

/// What the subscription brings up to this entry.
async fn events_until(subscription: &mut Subscription, seq: u64) -> Vec<Event> {
    let mut events = Vec::new();
    let all = async {
        while let Some(event) = subscription.next_until(seq).await.unwrap() {
            events.push(event);
        }
    };
    timeout(PATIENCE, all).await.expect("it comes to an end");
    events
}

/// What there is to be told of these entries.
fn expected(told: &ToldHistory, filter: &EventFilter, from_seq: u64) -> Vec<Event> {
    let entries = told.entries.iter().filter(|(seq, _, _)| *seq >= from_seq);
    let events =
        entries.map(|(seq, timestamp_ns, entry)| Event::of_entry(*seq, *timestamp_ns, entry.clone()));
    events.filter(|event| filter.wants(event)).collect()
}

/// Transfers of one of several clients, some of them refused. No two have an id in common.
fn batch(client: u128, round: u128) -> Vec<Transfer> {
    let of = |index: u128| {
        let id = (client + 1) * 1_000_000 + round * 10 + index;
        let to = WALLETS.start + (client + round + index) % 8;
        let from = if index == 9 { WALLETS.start + (client + index) % 8 } else { BANK };
        let to = if to == from { BANK } else { to };
        Transfer { code: (index % 4) as u16, ..transfer(id, from, to, if index == 9 { 1 << 60 } else { 3 }) }
    };
    (0..10).map(of).collect()
}

/// Clients that write at the same time, so many batches each.
fn writers(server: &Server, clients: u128, rounds: u128) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for number in 0..clients {
        let address = server.address.clone();
        tasks.spawn(async move {
            let options = ClientOptions { request_timeout: PATIENCE, ..ClientOptions::default() };
            let client = Client::connect(address, options).await.expect("the server listens");
            for round in 0..rounds {
                let outcomes = client.create_transfers(&batch(number, round)).await.unwrap();
                assert!(outcomes.iter().all(|outcome| outcome.seq > 0), "{outcomes:?}");
            }
        });
    }
    tasks
}

#[tokio::test]
async fn a_subscription_from_anywhere_brings_exactly_the_durable_entries_in_order() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open(&client).await;
    let all = EventFilter::default();
    // They begin at different times, while others write.
    let mut live = client.subscribe(None, all.clone());
    let first = live.next_until(1).await.unwrap();
    assert_eq!(first, None, "nothing of what was before");
    let live_from = live.through_seq().expect("it has begun") + 1;
    let tasks = writers(&server, 4, 60);
    let mut from_the_start = client.subscribe(Some(0), all.clone());
    let mut begun = Vec::new();
    for _ in 0..20 {
        let seq = client.ping().await.unwrap().durable_seq;
        begun.push((seq / 2 + 1, client.subscribe(Some(seq / 2 + 1), all.clone())));
        begun.push((seq + 1, client.subscribe(Some(seq + 1), all.clone())));
        for (_, subscription) in &mut begun {
            let next = timeout(Duration::from_millis(1), subscription.next_until(seq)).await;
            // Given up or not, nothing of it may be lost: it is found below if it is.
            if let Ok(event) = next {
                drop(event.unwrap());
            }
        }
        begun.retain(|(_, subscription)| subscription.through_seq().is_some());
        if begun.len() > 8 {
            begun.truncate(8);
        }
    }
    tasks.join_all().await;
    let last_seq = client.ping().await.unwrap().durable_seq;
    let told = ToldHistory::read(&client).await;
    assert_eq!(told.last_seq(), last_seq);
    assert!(last_seq > 2_400);
    assert_eq!(events_until(&mut from_the_start, last_seq).await, expected(&told, &all, 1));
    assert_eq!(events_until(&mut live, last_seq).await, expected(&told, &all, live_from));
    for (_, mut subscription) in begun {
        let taken = subscription.through_seq().expect("it has begun");
        assert_eq!(events_until(&mut subscription, last_seq).await, expected(&told, &all, taken + 1));
    }
    // Once more, of what is in the books by now.
    let mut again = client.subscribe(Some(1), all.clone());
    assert_eq!(events_until(&mut again, last_seq).await, expected(&told, &all, 1));
}

#[tokio::test]
async fn a_filtered_subscription_brings_what_is_wanted_and_says_how_far_it_is() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open(&client).await;
    writers(&server, 2, 30).join_all().await;
    let told = ToldHistory::read(&client).await;
    let last_seq = told.last_seq();
    for filter in [
        EventFilter { wallets: vec![WalletId(3)], ..EventFilter::default() },
        EventFilter { wallets: (100..164).map(WalletId).collect(), ..EventFilter::default() },
        EventFilter { kinds: vec![EventKind::OrderRefused], ..EventFilter::default() },
        EventFilter {
            kinds: vec![EventKind::WalletCreated, EventKind::AssetCreated],
            ..EventFilter::default()
        },
        EventFilter { kinds: vec![EventKind::Done(OrderKind::Expire)], ..EventFilter::default() },
        EventFilter { code: Some(3), ..EventFilter::default() },
        EventFilter {
            wallets: vec![WalletId(3), WalletId(4)],
            kinds: vec![EventKind::Done(OrderKind::Transfer)],
            code: Some(1),
        },
    ] {
        for from_seq in [1, last_seq / 2, last_seq + 1] {
            let mut subscription = client.subscribe(Some(from_seq), filter.clone());
            let begun = Instant::now();
            let events = events_until(&mut subscription, last_seq).await;
            assert_eq!(events, expected(&told, &filter, from_seq), "{filter:?} from {from_seq}");
            assert!(subscription.through_seq() >= Some(last_seq));
            assert!(begun.elapsed() < Duration::from_secs(4), "it is told without waiting for a heartbeat");
        }
    }
}

/// The next frame of this subscription.
async fn events(connection: &mut RawConnection, subscription: u64) -> Events {
    match connection.reply().await {
        (id, Reply::Events(Ok(events))) if id == subscription => events,
        other => panic!("not of {subscription}: {other:?}"),
    }
}

fn subscribe(id: u64, from_seq: Option<u64>, credit: u32) -> Vec<u8> {
    let what = Subscribe { from_seq, filter: EventFilter::default(), credit };
    request(id, RequestRef::Subscribe(&what))
}

#[tokio::test]
async fn no_more_events_come_than_were_asked_for() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open(&client).await;
    let mut connection = RawConnection::open(&server).await;
    connection.send(&subscribe(5, Some(1), 3)).await;
    assert_eq!(events(&mut connection, 5).await.through_seq, 0);
    let first = events(&mut connection, 5).await;
    assert_eq!(first.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(first.through_seq, 3);
    for id in 1..50 {
        pay(&client, &transfer(id, BANK, 2, 1)).await;
    }
    // Nothing but what says that it is there, which takes seconds.
    assert!(timeout(Duration::from_millis(300), connection.reply()).await.is_err());
    let more = |id, credit| request(id, RequestRef::MoreEvents(MoreEvents { subscription: 5, credit }));
    connection.send(&more(6, 2)).await;
    assert_eq!(connection.reply().await, (6, Reply::MoreEvents(2)));
    let second = events(&mut connection, 5).await;
    assert_eq!(second.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [4, 5]);
    assert!(second.durable_seq > 50);
    // It says that it is there, though there is nothing to be told.
    let begun = Instant::now();
    let heartbeat = events(&mut connection, 5).await;
    assert!(heartbeat.events.is_empty() && heartbeat.through_seq == 5, "{heartbeat:?}");
    assert!((Duration::from_secs(3)..Duration::from_secs(9)).contains(&begun.elapsed()));
    // Ended, it brings nothing any more, and its id is free.
    connection.send(&more(7, 1_000)).await;
    connection.send(&request(8, RequestRef::Unsubscribe(5))).await;
    loop {
        match connection.reply().await {
            (8, Reply::Unsubscribe(_)) => break,
            (5, Reply::Events(Ok(_))) | (7, Reply::MoreEvents(1_000)) => {}
            other => panic!("{other:?}"),
        }
    }
    pay(&client, &transfer(60, BANK, 2, 1)).await;
    assert!(timeout(Duration::from_millis(300), connection.reply()).await.is_err());
    for (id, what) in [(9, more(9, 1)), (10, request(10, RequestRef::Unsubscribe(5)))] {
        connection.send(&what).await;
        let (answered, error) = connection.error().await;
        assert_eq!((answered, error.code), (id, ErrorCode::UnknownSubscription));
    }
    connection.send(&subscribe(5, None, 1)).await;
    events(&mut connection, 5).await;
    connection.assert_open().await;
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open(&client).await;
    let durable_seq = client.ping().await.unwrap().durable_seq;
    let mut connection = RawConnection::open(&server).await;
    connection.send(&subscribe(3, Some(durable_seq + 2), 1)).await;
    assert_eq!(connection.reply().await, (3, Reply::Events(Err(Status::MomentInTheFuture))));
    let refused = client.subscribe(Some(u64::MAX), EventFilter::default()).next().await;
    let Err(ClientError::QueryRefused { status: Status::MomentInTheFuture, .. }) = refused else {
        panic!("{refused:?}")
    };
    // More wallets than a filter names.
    let filter = EventFilter { wallets: vec![WalletId(1); 65], ..EventFilter::default() };
    let what = Subscribe { from_seq: None, filter, credit: 1 };
    connection.send(&request(4, RequestRef::Subscribe(&what))).await;
    let (id, error) = connection.error().await;
    assert_eq!((id, error.code), (4, ErrorCode::TooManyOperations));
    // More subscriptions than a connection has. One that has ended makes room.
    for id in 100..116 {
        connection.send(&subscribe(id, None, 1)).await;
        events(&mut connection, id).await;
    }
    connection.send(&subscribe(116, None, 1)).await;
    let (id, error) = connection.error().await;
    assert_eq!((id, error.code), (116, ErrorCode::TooManySubscriptions));
    connection.send(&request(117, RequestRef::Unsubscribe(100))).await;
    assert_eq!(connection.reply().await, (117, Reply::Unsubscribe(durable_seq)));
    connection.send(&subscribe(116, None, 1)).await;
    events(&mut connection, 116).await;
    // The id of a subscription is taken.
    connection.send(&request(116, RequestRef::Ping)).await;
    connection.assert_closed_with(116, ErrorCode::Malformed).await;
    client.ping().await.unwrap();
}

#[tokio::test]
async fn a_subscriber_that_reads_nothing_slows_no_transfer_and_no_other_subscriber() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open(&client).await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut connection = RawConnection::open(&server).await;
        for id in 10..26 {
            connection.send(&subscribe(id, Some(1), u32::MAX)).await;
        }
        silent.push(connection);
    }
    let mut reading = client.subscribe(Some(1), EventFilter::default());
    let written = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for number in 0..4 {
        let (address, written) = (server.address.clone(), Arc::clone(&written));
        tasks.spawn(async move {
            let options = ClientOptions { request_timeout: PATIENCE, ..ClientOptions::default() };
            let client = Client::connect(address, options).await.expect("the server listens");
            for round in 0..100 {
                // With metadata, so that there is more to be told than buffers take.
                let transfers: Vec<Transfer> = batch(number, round)
                    .into_iter()
                    .map(|transfer| Transfer { metadata: vec![7; 256].into(), ..transfer })
                    .collect();
                client.create_transfers(&transfers).await.unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    timeout(PATIENCE, tasks.join_all()).await.expect("every transfer is answered");
    assert_eq!(written.load(Ordering::Relaxed), 400);
    let last_seq = client.ping().await.unwrap().durable_seq;
    let told = ToldHistory::read(&client).await;
    let brought = events_until(&mut reading, last_seq).await;
    assert_eq!(brought, expected(&told, &EventFilter::default(), 1));
    // Those who read nothing can still begin to, and nothing is missing.
    let mut connection = silent.pop().expect("there are several");
    let mut next = 1;
    while next <= last_seq {
        if let (10, Reply::Events(Ok(events))) = connection.reply().await {
            for event in events.events {
                assert_eq!(event.seq, next);
                next += 1;
            }
        }
    }
}

/// A way to the server that can be cut.
async fn relay(server: &Server) -> (String, tokio::sync::watch::Sender<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound").to_string();
    let (cut, cuts) = tokio::sync::watch::channel(0);
    let target = server.address.clone();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let (target, mut cuts) = (target.clone(), cuts.clone());
            cuts.mark_unchanged();
            tokio::spawn(async move {
                let mut to = TcpStream::connect(target).await.expect("the server listens");
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                    _ = cuts.changed() => {}
                }
            });
        }
    });
    (address, cut)
}

#[tokio::test]
async fn a_subscription_goes_on_when_its_connection_is_cut_again_and_again() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open(&client).await;
    let (address, cut) = relay(&server).await;
    let options = ClientOptions { request_timeout: PATIENCE, ..ClientOptions::default() };
    let cut_off = Client::connect(address, options).await.expect("the relay listens");
    let mut subscription = cut_off.subscribe(Some(1), EventFilter::default());
    let tasks = writers(&server, 3, 60);
    let mut brought = Vec::new();
    while brought.len() < 1_200 {
        brought.push(timeout(PATIENCE, subscription.next()).await.expect("it goes on").unwrap());
        if brought.len() % 100 == 0 {
            cut.send_modify(|cuts| *cuts += 1);
        }
    }
    tasks.join_all().await;
    let told = ToldHistory::read(&client).await;
    brought.extend(events_until(&mut subscription, told.last_seq()).await);
    assert_eq!(brought, expected(&told, &EventFilter::default(), 1));
}

#[tokio::test]
async fn a_subscriber_goes_on_after_a_kill_and_after_a_stop_where_it_was() {
    let mut server = Server::start(&[]);
    let mut brought: Vec<Event> = Vec::new();
    let mut through_seq = 0;
    for round in 0..4_u128 {
        let client = server.client().await;
        if round == 0 {
            open(&client).await;
        }
        let mut subscription = client.subscribe(Some(through_seq + 1), EventFilter::default());
        for batch_number in 0..10 {
            client.create_transfers(&batch(round, batch_number)).await.unwrap();
            // Not all of them: some are left for the next one.
            for _ in 0..8 {
                brought.push(timeout(PATIENCE, subscription.next()).await.expect("there are more").unwrap());
            }
        }
        through_seq = subscription.through_seq().expect("it has begun");
        assert_eq!(Some(through_seq), brought.last().map(|event| event.seq));
        drop((subscription, client));
        if round % 2 == 0 {
            server.kill();
        } else {
            server.stop();
        }
        server = server.restart();
    }
    let client = server.client().await;
    let told = ToldHistory::read(&client).await;
    let mut subscription = client.subscribe(Some(through_seq + 1), EventFilter::default());
    brought.extend(events_until(&mut subscription, told.last_seq()).await);
    assert_eq!(brought, expected(&told, &EventFilter::default(), 1));
}

#[tokio::test]
async fn a_server_that_stops_tells_its_subscribers_and_does_not_wait_for_those_who_read_nothing() {
    let mut server = Server::start(&["--drain-timeout", "20s"]);
    let client = server.client().await;
    open(&client).await;
    for round in 0..100 {
        assert!(client.create_transfers(&batch(0, round)).await.is_ok());
    }
    let mut silent = RawConnection::open(&server).await;
    for id in 10..26 {
        silent.send(&subscribe(id, Some(1), u32::MAX)).await;
    }
    let mut told = RawConnection::open(&server).await;
    told.send(&subscribe(5, None, 1_000)).await;
    events(&mut told, 5).await;
    let begun = Instant::now();
    server.terminate();
    match told.try_reply().await {
        None => {}
        Some((id, Reply::Error(error))) => assert_eq!((id, error.code), (5, ErrorCode::ShuttingDown)),
        Some(other) => panic!("{other:?}"),
    }
    let ended = server.wait();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    drop(silent);
}

#[tokio::test]
async fn a_connection_with_a_subscription_is_not_idle() {
    let server = Server::start(&["--idle-timeout", "500ms"]);
    let client = server.client().await;
    open(&client).await;
    let mut connection = RawConnection::open(&server).await;
    connection.send(&subscribe(5, None, 10)).await;
    events(&mut connection, 5).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_all_created(&[pay(&server.client().await, &transfer(1, BANK, 2, 1)).await]);
    assert_eq!(events(&mut connection, 5).await.events.len(), 1);
    // Without it, it is.
    connection.send(&request(6, RequestRef::Unsubscribe(5))).await;
    assert!(matches!(connection.reply().await, (6, Reply::Unsubscribe(_))));
    connection.assert_closed_with(0, ErrorCode::TimedOut).await;
}
