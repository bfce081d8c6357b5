//! Under loom: every order of threads, and every value that a load may return.
//!
//! `RUSTFLAGS="--cfg bursar_loom" cargo test --release -p bursar-actors --lib memory_order`

use crate::claims::{Claim, Claims};
use crate::ticket::{Fate, Ticket, Verdict};
use ledger::TransferId;
use loom::thread;
use persistence::{Clock, Sequencer};
use std::sync::Arc;

/// Time is no matter here.
#[derive(Debug)]
struct NoTime;

impl Clock for NoTime {
    fn now_ns(&self) -> u64 {
        1
    }

    fn advance_to(&self, _: u64) {}
}

fn sequencer() -> Arc<Sequencer> {
    Arc::new(Sequencer::new(0, 0, Arc::new(NoTime)))
}

#[test]
fn of_a_commit_and_a_cancellation_one_succeeds() {
    loom::model(|| {
        let (sequencer, ticket) = (sequencer(), Arc::new(Ticket::default()));
        let canceller = thread::spawn({
            let (sequencer, ticket) = (Arc::clone(&sequencer), Arc::clone(&ticket));
            move || ticket.cancel_to_retry(0, &mut sequencer.enter()).is_ok()
        });
        let committed =
            ticket.commit(0, Verdict::Done, &mut sequencer.enter(), (1, u64::MAX), b"entry", &[]).is_ok();
        let cancelled = canceller.join().unwrap();
        assert!(committed != cancelled, "committed: {committed}, cancelled: {cancelled}");
        let fate = if committed { Fate::Committed { seq: 1, timestamp_ns: 1 } } else { Fate::Cancelled };
        assert_eq!(ticket.fate(0), fate);
        assert_eq!(sequencer.appended_seq(), u64::from(committed));
    });
}

#[test]
fn who_has_seen_the_head_sees_every_commit_up_to_it() {
    loom::model(|| {
        let (sequencer, ticket) = (sequencer(), Arc::new(Ticket::default()));
        let committer = thread::spawn({
            let (sequencer, ticket) = (Arc::clone(&sequencer), Arc::clone(&ticket));
            move || {
                ticket
                    .commit(0, Verdict::Done, &mut sequencer.enter(), (1, u64::MAX), b"entry", &[])
                    .unwrap()
                    .seq
            }
        });
        let head = sequencer.appended_seq();
        let fate = ticket.fate(0);
        if head == 1 {
            assert_eq!(fate, Fate::Committed { seq: 1, timestamp_ns: 1 });
        }
        assert_eq!(committer.join().unwrap(), 1);
    });
}

#[test]
fn of_two_with_the_same_id_one_decides_and_both_are_answered_once() {
    loom::model(|| {
        let claims = Arc::new(Claims::<u8, u8>::default());
        let ask = |claims: &Claims<u8, u8>, who: u8| match claims.claim(TransferId(7), u64::from(who), || who)
        {
            Claim::Granted => {
                let mut answered = Vec::from(claims.decide(TransferId(7), 1).same);
                answered.push(who);
                answered
            }
            Claim::Waits => Vec::new(),
            Claim::Decided(seq) => {
                assert_eq!(seq, 1);
                vec![who]
            }
        };
        let other = thread::spawn({
            let claims = Arc::clone(&claims);
            move || ask(&claims, 1)
        });
        let mut answered = ask(&claims, 2);
        answered.extend(other.join().unwrap());
        answered.sort_unstable();
        assert_eq!(answered, [1, 2]);
        assert_eq!(claims.decided(TransferId(7)), Some(1));
    });
}

#[test]
fn a_claim_that_is_given_up_is_the_next_ones_or_free() {
    loom::model(|| {
        let claims = Arc::new(Claims::<u8, u8>::default());
        let ask = |claims: &Claims<u8, u8>, who: u8| match claims.claim(TransferId(7), u64::from(who), || who)
        {
            Claim::Granted => {
                let mut ended = vec![who];
                // Whoever waited has the claim now, and gives it up as well.
                while let Some((next, _)) = claims.release(TransferId(7)).next {
                    ended.push(next);
                }
                ended
            }
            Claim::Waits => Vec::new(),
            Claim::Decided(_) => panic!("nobody decides"),
        };
        let other = thread::spawn({
            let claims = Arc::clone(&claims);
            move || ask(&claims, 1)
        });
        let mut ended = ask(&claims, 2);
        ended.extend(other.join().unwrap());
        ended.sort_unstable();
        assert_eq!(ended, [1, 2]);
        assert_eq!(claims.claim(TransferId(7), 3, || 3), Claim::Granted);
    });
}
