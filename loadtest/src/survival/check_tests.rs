//! The checks against a ledger in memory: an honest one passes, and every lie is found.

use super::*;
use crate::ledger_in_memory::{Habit, LedgerInMemory, Lie};
use crate::planned_order::Expected;
use crate::population::Population;
use crate::refusing_wallets::RefusingWallet;
use crate::survival::load_kind::{LoadKind, LoadLimits};
use client::ledger::{OrderKind, Outcome, Refusal, TransferId};
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// A ledger that was asked for 100 scripts, of one order each where the load is of transfers, with the round that tells of
/// them: 0 to 79 acknowledged, of 80 to 89 the first order done without an answer, of 90 to 94 sent and not done, 95 to 99
/// never sent.
///
/// Of three wallets opened under load, the first was acknowledged, the second done without an answer, the third sent
/// and not done; of three assets likewise.
struct Crashed {
    ledger: LedgerInMemory,
    model: LedgerModel,
    round: Round,
}

impl Crashed {
    async fn new(kind: LoadKind) -> Self {
        let ledger = LedgerInMemory::default();
        let population = Population::varied(5, 40);
        books::prepare(&ledger, population, population.funded() + 1).await.expect("it takes the population");
        books::prepare_refusing_wallets(&ledger, population).await.expect("and those who refuse");
        let baseline = books::baseline(&ledger, population).await.expect("it can be read");
        let mut model = LedgerModel::new(population, baseline, 1_000);
        let limits = LoadLimits { connections: 1, in_flight: 1, batch: 1, server_batch: 1, transfers: 1_000 };
        let plan = kind.plan(&limits, &mut SmallRng::seed_from_u64(1));
        let mut round = model.begin(kind, plan);
        open(&ledger, &mut round).await;
        let steps = round.workload.steps();
        round.told = vec![Told::NotSent; 100 * steps as usize];
        for story in 0..95 {
            for (number, step) in (story * steps..).zip(round.workload.script(story).steps) {
                ledger.pass(step.after);
                round.told[number as usize] = Told::Unknown;
                if story >= 90 {
                    break;
                }
                let orders = [round.workload.order(number, &step.planned.asked)].into_iter().collect();
                let outcomes = ledger.submit(&orders).await.expect("answered");
                if story >= 80 {
                    break;
                }
                round.told[number as usize] = (&outcomes[0]).into();
                let Outcome { status, detail, .. } = outcomes[0];
                if !step.planned.expected.allows(Refusal { status, detail })
                    || (status != Status::Created && step.planned.expected == Expected::DoneOrRefused)
                {
                    break;
                }
            }
        }
        Self { ledger, model, round }
    }

    /// The first acknowledged order of this kind that was done.
    fn done_of(&self, kind: OrderKind) -> Order {
        let numbers = (0_u64..).zip(&self.round.told);
        let mut done =
            numbers.filter(|(_, told)| told.is_done()).map(|(number, _)| self.round.workload.planned(number));
        done.find(|order| order.kind() == kind).expect("some were done")
    }

    /// The first acknowledged transfer that was done.
    fn done(&self) -> TransferId {
        self.done_of(OrderKind::Transfer).id()
    }

    /// What the first acknowledged order of this kind was about.
    fn about(&self, kind: OrderKind) -> TransferId {
        self.done_of(kind).refers_to().expect("it is about another")
    }

    async fn check(mut self) -> (Findings, LedgerModel) {
        let mut findings = Findings::default();
        check_round(&self.ledger, &mut self.model, self.round, &mut findings).await.expect("it can be read");
        check_archive(&self.ledger, &self.model, 1_000, &mut findings).await.expect("it can be read");
        (findings, self.model)
    }
}

async fn open(ledger: &LedgerInMemory, round: &mut Round) {
    if round.kind == LoadKind::WalletCreation {
        for index in round.openings.begin_wallets(3) {
            let wallet = round.openings.wallet(index);
            if index < 2 {
                let outcomes = ledger.create_wallets(&[wallet]).await.expect("answered");
                if index == 0 {
                    round.note_wallets(&[index], Ok(outcomes));
                }
            }
        }
    }
    if round.kind == LoadKind::AssetCreation {
        for _ in 0..3 {
            let index = round.openings.begin_asset().expect("there are more");
            if index < 2 {
                let outcomes = ledger.create_assets(&[round.openings.asset(index)]).await.expect("answered");
                if index == 0 {
                    round.note_asset(index, Ok(outcomes));
                }
            }
        }
    }
}

/// What is found when the ledger lies so, after a round of this kind.
async fn check_with(kind: LoadKind, lie: impl FnOnce(&Crashed) -> Option<Lie>) -> Findings {
    let crashed = Crashed::new(kind).await;
    if let Some(lie) = lie(&crashed) {
        crashed.ledger.lie(lie);
    }
    let (findings, model) = crashed.check().await;
    assert!(!model.openings.assets.contains(&Told::Unknown), "all is resolved");
    assert!(model.openings.wallets().iter().all(|wallet| wallet.told != Told::Unknown), "all is resolved");
    findings
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_kept_all_passes_and_what_was_unknown_is_resolved() {
    for kind in LoadKind::ALL {
        let findings = check_with(kind, |_| None).await;
        assert_eq!(findings.first_differences, Vec::<String>::new(), "{kind:?}");
        assert!(findings.passed());
        let opens = u64::from(matches!(kind, LoadKind::WalletCreation | LoadKind::AssetCreation));
        let scripts = Crashed::new(kind).await.round;
        let steps = scripts.workload.steps();
        let told =
            |wanted: fn(Told) -> bool| scripts.told.iter().filter(|&&told| wanted(told)).count() as u64;
        let acknowledged = told(|told| matches!(told, Told::Answered { .. }));
        assert_eq!(findings.acknowledged, acknowledged, "{kind:?}");
        assert!(if steps == 1 { acknowledged == 80 } else { acknowledged > 80 }, "{kind:?}: {acknowledged}");
        assert_eq!(findings.created, opens, "{kind:?}");
        assert_eq!(findings.unknown, 15 + 2 * opens, "{kind:?}");
        // What is refused for its shape is not found, and is on no record.
        let is_on_record = |story: &u64| match scripts.workload.plan(story * steps).expected {
            Expected::Refused(refusal) => refusal.status.is_final(),
            Expected::Done | Expected::DoneOrRefused => true,
        };
        let found = (80..90).filter(is_on_record).count() as u64;
        assert_eq!(findings.found_after_crash, found + opens, "{kind:?}");
        assert_eq!(findings.looked_up_again, acknowledged + 15, "{kind:?}");
        assert!(findings.sent_again >= told(Told::is_on_record), "{kind:?}");
    }
    assert!(check_with(LoadKind::Refusals, |_| None).await.refused > 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_lost_doubled_or_changed_is_found() {
    let kind = LoadKind::Batches;
    let lost = check_with(kind, |crashed| Some(Lie::Undo(crashed.done()))).await;
    assert!(lost.lost >= 1 && lost.doubled >= 1, "gone, and so done again when sent again: {lost:#?}");

    let forgotten = check_with(kind, |crashed| Some(Lie::Forget(crashed.done()))).await;
    assert!(forgotten.lost >= 1 && forgotten.mismatches >= 1, "{forgotten:#?}");

    let doubled = check_with(kind, |crashed| Some(Lie::Double(crashed.done()))).await;
    assert!(doubled.mismatches >= 2, "both wallets differ: {doubled:#?}");

    let renumbered = check_with(kind, |crashed| Some(Lie::Renumber(crashed.done()))).await;
    assert!(renumbered.mismatches >= 1 && renumbered.doubled >= 1, "{renumbered:#?}");

    let changed = check_with(kind, |crashed| Some(Lie::Change(crashed.done()))).await;
    assert!(changed.mismatches >= 1, "{changed:#?}");
}

/// Each lie leads to a difference that is named so.
#[tokio::test(start_paused = true)]
async fn every_other_lie_is_found_and_named() {
    let check = async |kind, named: &str, lie: fn(&Crashed) -> Lie| {
        let findings = check_with(kind, |crashed| Some(lie(crashed))).await;
        let is_named = findings.first_differences.iter().any(|difference| difference.contains(named));
        assert!(is_named && !findings.passed(), "`{named}` is not in {findings:#?}");
    };
    check(LoadKind::Batches, "never sent", |crashed| Lie::Do(crashed.round.workload.planned(97))).await;
    // As if of a transfer that was under way only one side were there.
    check(LoadKind::Batches, "holds", |crashed| Lie::Credit(crashed.model.population.wallet_id(3))).await;
    check(LoadKind::Batches, "does not balance", |crashed| {
        Lie::Credit(crashed.model.population.wallet_id(3))
    })
    .await;
    check(LoadKind::Batches, "is gone", |crashed| Lie::Lose(crashed.model.population.wallet_id(3))).await;
    check(LoadKind::Batches, "was moved", |_| Lie::Misstate).await;
    check(LoadKind::Batches, "the asset of the wallets", |crashed| {
        Lie::LoseAsset(crashed.model.population.asset_id())
    })
    .await;
    check(LoadKind::WalletCreation, "was answered created as entry", |crashed| {
        Lie::Lose(crashed.round.workload.population.wallet_id(crashed.round.openings.wallet_number(0)))
    })
    .await;
    check(LoadKind::AssetCreation, "was created and is not there", |crashed| {
        Lie::LoseAsset(crashed.round.openings.asset(0).id)
    })
    .await;
}

/// What the ledger holds of holds, captures, releases, reversals and transactions.
#[tokio::test(start_paused = true)]
async fn every_lie_about_orders_in_scripts_is_found_and_named() {
    let check = async |kind, named: &str, lie: fn(&Crashed) -> Lie| {
        let findings = check_with(kind, |crashed| Some(lie(crashed))).await;
        let is_named = findings.first_differences.iter().any(|difference| difference.contains(named));
        assert!(is_named && !findings.passed(), "{kind:?}: `{named}` is not in {findings:#?}");
    };
    let lost = "was answered created as entry";
    check(LoadKind::Holds, lost, |crashed| Lie::Forget(crashed.done_of(OrderKind::Pending).id())).await;
    check(LoadKind::Holds, lost, |crashed| Lie::Undo(crashed.done_of(OrderKind::Post).id())).await;
    check(LoadKind::Holds, lost, |crashed| Lie::Undo(crashed.done_of(OrderKind::Void).id())).await;
    check(LoadKind::Holds, "what became of", |crashed| Lie::ForgetProgress(crashed.about(OrderKind::Post)))
        .await;
    check(LoadKind::Holds, "what became of", |crashed| Lie::ForgetProgress(crashed.about(OrderKind::Void)))
        .await;
    check(LoadKind::Holds, "it was sent as", |crashed| Lie::Change(crashed.done_of(OrderKind::Void).id()))
        .await;
    check(LoadKind::Holds, "is held", |_| Lie::MisstateHeld).await;
    check(LoadKind::Holds, "is held", |crashed| Lie::Double(crashed.done_of(OrderKind::Pending).id())).await;
    check(LoadKind::Holds, "was moved", |crashed| Lie::Double(crashed.done_of(OrderKind::Post).id())).await;
    check(LoadKind::Holds, "holds", |crashed| Lie::Hold(crashed.model.population.wallet_id(3))).await;
    check(LoadKind::MultiLeg, "does not balance", |crashed| {
        Lie::DropLeg(crashed.done_of(OrderKind::Transaction).id())
    })
    .await;
    check(LoadKind::MultiLeg, lost, |crashed| Lie::Undo(crashed.done_of(OrderKind::Reversal).id())).await;
    check(LoadKind::MultiLeg, "what became of", |crashed| {
        Lie::ForgetProgress(crashed.about(OrderKind::Reversal))
    })
    .await;
    check(LoadKind::RefusedOrders, "what became of", |crashed| {
        Lie::ForgetProgress(crashed.about(OrderKind::Reversal))
    })
    .await;
    check(LoadKind::RefusedOrders, "refuses everything", |crashed| {
        Lie::Credit(crashed.model.population.wallet_id(RefusingWallet::Full.number()))
    })
    .await;
    check(LoadKind::RefusedOrders, "on record is", |crashed| {
        let refused = crashed.round.told.iter().position(|told| told.is_on_record() && !told.is_done());
        Lie::RefuseOtherwise(crashed.round.workload.id(refused.expect("some were refused") as u64))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_does_not_expire_is_found() {
    let crashed = Crashed::new(LoadKind::Holds).await;
    crashed.ledger.has(Habit::KeepsHolds);
    let (findings, _) = crashed.check().await;
    let named = findings.first_differences.iter().any(|difference| difference.contains("has not expired"));
    assert!(named, "{findings:#?}");
}
