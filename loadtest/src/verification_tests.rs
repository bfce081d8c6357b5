//! Verification against a ledger in memory: an honest one passes, and every lie is found.

use super::*;
use crate::ledger_in_memory::{Habit, LedgerInMemory, Lie};
use crate::planned_order::{Asked, Expected, PlannedOrder};
use crate::scripts::refusals::KINDS;
use crate::workload::tests::sample;
use crate::workload_kind::WorkloadKind;
use client::ledger::{OrderKind, Outcome, TransferId};

/// Scripts that were gone through, and those after them of which only the first order was sent, without an answer; of
/// these the first half were done.
const ANSWERED: u64 = 90;
const UNKNOWN: u64 = 10;

/// A ledger that was asked for scripts of one kind, and what it said.
struct Asking {
    ledger: LedgerInMemory,
    workload: Workload,
    baseline: Baseline,
    testimony: Testimony,
}

impl Asking {
    async fn of(kind: WorkloadKind) -> Self {
        let ledger = LedgerInMemory::default();
        let workload = sample(5, 10).of_kind(kind);
        books::prepare(&ledger, workload.population, u32::MAX)
            .await
            .expect("the ledger takes the population");
        books::prepare_refusing_wallets(&ledger, workload.population).await.expect("and those who refuse");
        let baseline = books::baseline(&ledger, workload.population).await.expect("the ledger can be read");
        let testimony = Testimony::new(baseline.positions.clone(), workload.steps());
        Self { ledger, workload, baseline, testimony }
    }

    async fn send(&self, number: u64) -> Outcome {
        let orders = [self.workload.planned(number)].into_iter().collect();
        LedgerCalls::submit(&self.ledger, &orders).await.expect("answered")[0]
    }

    /// Goes through all scripts.
    async fn go_through(mut self) -> Self {
        let steps = self.workload.steps();
        for story in 0..ANSWERED {
            let script = self.workload.script(story);
            for (number, step) in (story * steps..).zip(&script.steps) {
                self.ledger.pass(step.after);
                let outcome = self.send(number).await;
                if !self.testimony.answered(number, &step.planned, &outcome) {
                    break;
                }
            }
        }
        for story in ANSWERED..ANSWERED + UNKNOWN {
            if story < ANSWERED + UNKNOWN / 2 {
                self.send(story * steps).await;
            }
            self.testimony.unknown(&[story * steps]);
        }
        self
    }

    /// The id of the first order like this that was answered.
    fn find(&self, like: impl Fn(&PlannedOrder) -> bool) -> TransferId {
        let mut numbers = 0..ANSWERED * self.workload.steps();
        let found = numbers.find(|&number| self.workload.find(number).is_some_and(|plan| like(&plan)));
        self.workload.id(found.expect("there is one"))
    }

    /// Of this kind.
    fn of_kind(&self, kind: OrderKind) -> TransferId {
        self.find(|plan| plan.kind() == kind)
    }

    /// Before one of this kind.
    fn before(&self, kind: OrderKind) -> TransferId {
        let mut numbers = 1..ANSWERED * self.workload.steps();
        let next = numbers.find(|&number| self.workload.find(number).is_some_and(|plan| plan.kind() == kind));
        self.workload.id(next.expect("there is one") - 1)
    }

    /// A hold that is open, as its answer was never heard.
    fn open_hold(&self) -> TransferId {
        let steps = self.workload.steps();
        let mut numbers = (ANSWERED..ANSWERED + UNKNOWN / 2).map(|story| story * steps);
        let held = numbers.find(|&number| {
            let plan = self.workload.plan(number);
            matches!(plan.asked, Asked::Pending { .. }) && !plan.is_left_to_expire()
        });
        self.workload.id(held.expect("there is one"))
    }

    async fn verify(&self) -> Verification {
        let found = verify_once(&self.ledger, &self.workload, &self.baseline, &self.testimony).await;
        found.expect("the ledger can be read")
    }
}

/// A lie about what was asked for.
type Planted = fn(&Asking) -> Lie;

fn assert_named(found: &Verification, named: &[&str]) {
    assert!(!found.passed(), "{named:?} was not found");
    for part in named {
        let is_named = found.first_differences.iter().any(|difference| difference.contains(part));
        assert!(is_named, "{part:?} is not in {:#?}", found.first_differences);
    }
}

#[tokio::test(start_paused = true)]
async fn an_honest_ledger_passes_and_unknown_orders_are_counted_in_or_out() {
    for kind in WorkloadKind::ALL {
        let asking = Asking::of(kind).await.go_through().await;
        let found = asking.verify().await;
        assert_eq!(found.first_differences, Vec::<String>::new(), "{kind}");
        assert!(found.passed());
        assert_eq!(found.wallets_checked, 11 + 6, "{kind}");
        assert_eq!(found.acknowledged_looked_up, asking.testimony.acknowledged);
        // What is unknown may have been refused.
        assert_eq!(found.unknown_found_done + found.unknown_found_not_done, UNKNOWN);
        let are_refused = kind == WorkloadKind::Refusals;
        assert!(
            (found.unknown_found_done > 0 || are_refused) && found.unknown_found_not_done >= UNKNOWN / 2,
            "{kind}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn every_planted_difference_is_caught_and_named() {
    let check = async |kind: WorkloadKind, lie: Planted, named: &[&str]| {
        let asking = Asking::of(kind).await.go_through().await;
        asking.ledger.lie(lie(&asking));
        assert_named(&asking.verify().await, named);
    };
    let transfers: [(Planted, &[&str]); 7] = [
        (|asking| Lie::Forget(asking.workload.id(3)), &["is not there"]),
        (
            |asking| Lie::Do(asking.workload.planned(1_000)),
            &["holds", "was moved", "does another run use this seed?"],
        ),
        (|asking| Lie::Renumber(asking.workload.id(7)), &["was acknowledged as entry"]),
        (|asking| Lie::Change(asking.workload.id(11)), &["it was sent as"]),
        (|asking| Lie::Credit(asking.workload.population.wallet_id(4)), &["holds", "does not balance"]),
        (|asking| Lie::Lose(asking.workload.population.wallet_id(4)), &["is gone"]),
        (|_| Lie::Misstate, &["was moved"]),
    ];
    for (lie, named) in transfers {
        check(WorkloadKind::Transfers, lie, named).await;
    }

    let holds: [(Planted, &[&str]); 14] = [
        (|asking| Lie::Forget(asking.of_kind(OrderKind::Pending)), &["is not there"]),
        (|asking| Lie::Forget(asking.of_kind(OrderKind::Post)), &["is not there"]),
        (|asking| Lie::Undo(asking.of_kind(OrderKind::Void)), &["is not there", "holds", "more is held"]),
        (|asking| Lie::Undo(asking.of_kind(OrderKind::Post)), &["was moved", "more is held"]),
        (|asking| Lie::Double(asking.of_kind(OrderKind::Pending)), &["holds", "more is held"]),
        (|asking| Lie::Double(asking.of_kind(OrderKind::Post)), &["holds", "was moved"]),
        (|asking| Lie::Renumber(asking.of_kind(OrderKind::Void)), &["was acknowledged as entry"]),
        (|asking| Lie::Change(asking.of_kind(OrderKind::Pending)), &["it was sent as"]),
        (|asking| Lie::Change(asking.of_kind(OrderKind::Post)), &["it was sent as"]),
        (|asking| Lie::Change(asking.of_kind(OrderKind::Void)), &["it was sent as"]),
        (|asking| Lie::LetGo(asking.open_hold()), &["holds", "more is held"]),
        (|asking| Lie::ForgetProgress(asking.before(OrderKind::Post)), &["what became of"]),
        (|asking| Lie::Hold(asking.workload.population.wallet_id(4)), &["holds", "does not balance"]),
        (|_| Lie::MisstateHeld, &["more is held"]),
    ];
    for (lie, named) in holds {
        check(WorkloadKind::Holds, lie, named).await;
    }

    let legs: [(Planted, &[&str]); 6] = [
        (|asking| Lie::DropLeg(asking.of_kind(OrderKind::Transaction)), &["holds", "does not balance"]),
        (|asking| Lie::Double(asking.of_kind(OrderKind::Transaction)), &["holds", "was moved"]),
        (|asking| Lie::Change(asking.of_kind(OrderKind::Transaction)), &["it was sent as"]),
        (|asking| Lie::Change(asking.of_kind(OrderKind::Reversal)), &["it was sent as"]),
        (|asking| Lie::Undo(asking.of_kind(OrderKind::Reversal)), &["is not there", "was moved"]),
        (|asking| Lie::ForgetProgress(asking.before(OrderKind::Reversal)), &["what became of"]),
    ];
    for (lie, named) in legs {
        check(WorkloadKind::MultiLeg, lie, named).await;
    }

    check(
        WorkloadKind::Mixed,
        |asking| Lie::ForgetProgress(asking.before(OrderKind::Reversal)),
        &["what became of"],
    )
    .await;
    check(
        WorkloadKind::Refusals,
        |asking| Lie::RefuseOtherwise(asking.find(|plan| matches!(plan.expected, Expected::Refused(_)))),
        &["looked up it is"],
    )
    .await;
    check(
        WorkloadKind::Refusals,
        |asking| Lie::Forget(asking.find(|plan| matches!(plan.expected, Expected::Refused(_)))),
        &["looked up it is not on record"],
    )
    .await;
    check(
        WorkloadKind::Refusals,
        |asking| Lie::Credit(asking.workload.population.wallet_id(RefusingWallet::Empty.number())),
        &["refuses everything"],
    )
    .await;
}

/// What is found when the ledger has had this habit all the time.
async fn with_habit(kind: WorkloadKind, habit: Habit) -> Verification {
    let asking = Asking::of(kind).await;
    asking.ledger.has(habit);
    asking.go_through().await.verify().await
}

#[tokio::test(start_paused = true)]
async fn what_goes_wrong_all_the_time_is_caught() {
    assert_named(
        &with_habit(WorkloadKind::Holds, Habit::KeepsHolds).await,
        &["has not expired", "more is held"],
    );
    assert_named(&with_habit(WorkloadKind::Holds, Habit::CapturesInFull).await, &["holds", "was moved"]);
}

#[tokio::test(start_paused = true)]
async fn every_refusal_must_have_exactly_its_status() {
    assert!(ANSWERED >= KINDS.len() as u64, "all kinds of refusals are asked for");
    let statuses = Status::ALL.iter().copied().filter(|status| status.is_final());
    for status in statuses {
        // Nobody comes near an overflow; and what is frozen is what others are mistaken for.
        if matches!(
            status,
            Status::DebitWalletOverflow | Status::CreditWalletOverflow | Status::DebitWalletFrozen
        ) {
            continue;
        }
        let found = with_habit(WorkloadKind::Refusals, Habit::MistakesForFrozen(status)).await;
        assert_named(&found, &["must be Refused", status_in_words(status)]);
    }
    for status in [
        Status::InsufficientFunds,
        Status::LegRefused,
        Status::DebitWalletFrozen,
        Status::CreditWalletFrozen,
        Status::DebitWalletClosed,
        Status::CreditWalletClosed,
        Status::DebitWalletAssetMismatch,
        Status::CreditWalletAssetMismatch,
        Status::LimitExceeded,
    ] {
        let found = with_habit(WorkloadKind::Refusals, Habit::Overlooks(status)).await;
        assert_named(&found, &["must be Refused"]);
    }
}

/// As it is named where a plan is shown: by its variant.
fn status_in_words(status: Status) -> &'static str {
    format!("status: {status:?},").leak()
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_was_done_all_the_same_is_caught() {
    let mut asking = Asking::of(WorkloadKind::Transfers).await;
    let done = asking.send(0).await;
    let told = Outcome { status: Status::InsufficientFunds, ..done };
    asking.testimony.answered(0, &asking.workload.plan(0), &told);
    assert_named(&asking.verify().await, &["was refused insufficient_funds, looked up it is created"]);
}

#[tokio::test(start_paused = true)]
async fn a_first_answer_that_claims_to_be_a_repetition_is_a_difference() {
    let mut asking = Asking::of(WorkloadKind::Transfers).await;
    asking.send(0).await;
    let again = asking.send(0).await;
    asking.testimony.answered(0, &asking.workload.plan(0), &again);
    assert_named(&asking.verify().await, &["was sent once"]);
}

#[tokio::test(start_paused = true)]
async fn the_capture_of_an_open_hold_is_never_refused() {
    let mut asking = Asking::of(WorkloadKind::Holds).await;
    let numbers = (0..400).filter(|&number| asking.workload.find(number).is_some());
    let mut captures =
        numbers.filter(|&number| matches!(asking.workload.plan(number).asked, Asked::Post { .. }));
    let capture = captures.next().expect("some are captured");
    asking.send(capture - 1).await;
    let done = asking.send(capture).await;
    let refused = Outcome { status: Status::PendingNotFound, ..done };
    assert!(!asking.testimony.answered(capture, &asking.workload.plan(capture), &refused));
    assert_named(&asking.verify().await, &["must be Done"]);
}
