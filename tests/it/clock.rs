//! The wall clock is set, by hours and days, back and forth, under a running server and between two runs.

use crate::books::{BANK, Chance, assert_all_created, open_books, transfer, wallet};
use crate::metrics_page::get;
use crate::raw_connection::{RawConnection, request_with};
use crate::recorder::Recorder;
use crate::server::{Ended, PATIENCE, Server, bursar, run};
use client::Client;
use ledger::Outcome;
use persistence::clock::wall_clock_ns;
use protocol::{Reply, RequestHead, RequestRef};
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

const ACCEPTED: &[&str] = &["--accept-clock"];

/// A directory whose servers see the wall clock that the test wants.
struct ClockShop {
    recorder: Recorder,
    data: PathBuf,
    _place: TempDir,
}

impl ClockShop {
    fn open() -> Self {
        let place = tempfile::tempdir().expect("a temporary directory");
        let root = place.path().join("root");
        std::fs::create_dir(&root).expect("the place is ours");
        let recorder = Recorder::new(&root, place.path());
        let data = recorder.root().join("data");
        Self { recorder, data, _place: place }
    }

    fn attempt(&self, flags: &[&str]) -> Result<Server, Ended> {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Server::launch(self.recorder.command(), &self.data, flags)
    }

    fn start(&self, flags: &[&str]) -> Server {
        self.attempt(flags).unwrap_or_else(|ended| panic!("the server did not start: {ended:?}"))
    }
}

/// Makes transfers with these ids, and checks that each is later than everything before it.
async fn pay_later_than(client: &Client, ids: std::ops::Range<u128>, newest: &mut Outcome) {
    for id in ids {
        let outcome = client.create_transfers(&[transfer(id, BANK, 2, 1)]).await.unwrap()[0];
        assert_all_created(&[outcome]);
        assert_eq!(outcome.seq, newest.seq + 1);
        assert!(outcome.timestamp_ns > newest.timestamp_ns, "{outcome:?} comes after {newest:?}");
        *newest = outcome;
    }
}

async fn newest_of(client: &Client, id: u128) -> Outcome {
    let outcome = client.create_transfers(&[transfer(id, BANK, 2, 1)]).await.unwrap()[0];
    assert_all_created(&[outcome]);
    outcome
}

#[tokio::test]
async fn a_clock_that_is_set_under_a_running_server_moves_nothing_in_the_ledger() {
    let shop = ClockShop::open();
    let begun_at_ns = wall_clock_ns();
    let mut server = shop.start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let mut newest = newest_of(&client, 1).await;
    let mut chance = Chance(1);
    let mut next_id = 2;
    for step in 0..20 {
        let far = [MINUTE, HOUR, DAY, 400 * DAY, 20_000 * DAY][chance.below(5) as usize];
        let shift = i64::try_from(chance.below(2_000)).expect("small") - 1_000;
        shop.recorder.shift_wall_clock(far / 1_000 * shift);
        pay_later_than(&client, next_id..next_id + 5, &mut newest).await;
        next_id += 5;
        // What may wait for a minute is not late because of a clock that was put forward by a day meanwhile.
        let mut connection = RawConnection::open(&server).await;
        let late = transfer(1_000_000 + step, BANK, 2, 1);
        let head = RequestHead { deadline_ms: 60_000, ..RequestHead::default() };
        let transfers = [late];
        let asked = RequestRef::CreateTransfers { orders: &transfers, with_balances: false };
        connection.send(&request_with(1, head, asked)).await;
        shop.recorder.shift_wall_clock(if step % 2 == 0 { DAY } else { -DAY });
        let (_, Reply::CreateTransfers(created)) = connection.reply().await else { panic!("not created") };
        assert_all_created(&created.outcomes);
        newest = created.outcomes[0];
    }
    let ended_at_ns = wall_clock_ns();
    assert!(newest.timestamp_ns > begun_at_ns && newest.timestamp_ns < ended_at_ns, "{newest:?}");
    assert_sees_the_clock(&shop.recorder, &server);
    // The ledger's time has not followed the clock, so the true clock is as plausible as ever.
    shop.recorder.shift_wall_clock(0);
    server.kill();
    let server = shop.start(&[]);
    let client = server.client().await;
    pay_later_than(&client, next_id..next_id + 5, &mut newest).await;
}

#[tokio::test]
async fn a_clock_that_is_set_between_two_runs_is_refused_when_it_is_implausible_and_accepted_with_the_flag() {
    let shop = ClockShop::open();
    let mut server = shop.start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let mut newest = newest_of(&client, 1).await;
    server.kill();
    let mut next_id = 2;
    let mut serve = async |shift: i64, flags: &[&str], killed: bool| {
        shop.recorder.shift_wall_clock(shift);
        let mut server = shop.start(flags);
        let client = server.client().await;
        let before = newest;
        pay_later_than(&client, next_id..next_id + 3, &mut newest).await;
        next_id += 3;
        // The clock is followed where it is ahead; where it is behind, time goes on from the newest entry.
        let clock_ns = wall_clock_ns().saturating_add_signed(shift * 1_000_000_000);
        let hour_ns = 3_600_000_000_000;
        let expected_ns = clock_ns.max(before.timestamp_ns);
        assert!(expected_ns.abs_diff(newest.timestamp_ns) < hour_ns, "{shift}: {newest:?}");
        if killed {
            server.kill();
        } else {
            server.stop();
        }
    };
    let refuse = |shift: i64, says: &str| {
        shop.recorder.shift_wall_clock(shift);
        let refused = shop.attempt(&[]).expect_err("the clock is implausible");
        assert_eq!(refused.code, Some(1), "{refused:?}");
        for part in [says, "--accept-clock", shop.data.to_str().expect("UTF-8")] {
            assert!(refused.stderr.contains(part), "{part}: {refused:?}");
        }
        assert_eq!(refused.stderr.trim_end().lines().count(), 1, "{refused:?}");
        assert_verified(&shop.data);
    };
    serve(-MINUTE, &[], true).await;
    refuse(-3 * MINUTE, "behind");
    refuse(-30 * DAY, "behind");
    serve(-30 * DAY, ACCEPTED, true).await;
    // Time went on from the newest entry, so nothing has changed for the true clock.
    serve(0, &[], false).await;
    serve(3 * HOUR, &[], true).await;
    serve(300 * DAY, &[], false).await;
    refuse(0, "behind");
    refuse(300 * DAY + 400 * DAY, "ahead");
    serve(700 * DAY, ACCEPTED, false).await;
    refuse(2 * DAY, "behind");
    serve(0, ACCEPTED, true).await;
    serve(701 * DAY, &[], true).await;
}

/// The server does see the clock that it does not follow: it says its date in every HTTP answer.
fn assert_sees_the_clock(recorder: &Recorder, server: &Server) {
    recorder.shift_wall_clock(0);
    let now = http_year(server);
    recorder.shift_wall_clock(20_000 * DAY);
    let begun = Instant::now();
    while http_year(server) == now {
        assert!(begun.elapsed() < PATIENCE, "the server does not see the clock");
    }
}

fn http_year(server: &Server) -> String {
    let (_, head, _) = get(server, "/readyz");
    let date = head.lines().find_map(|line| line.strip_prefix("date: ")).expect("there is a date");
    date.split(' ').nth(3).expect("the year is the fourth word").to_owned()
}

/// Whatever the clock says, a directory can be verified.
fn assert_verified(data: &Path) {
    let verified = run(bursar().arg("verify").arg(data));
    assert_eq!(verified.code, Some(0), "{verified:?}");
}
