//! The checks against a ledger in memory: an honest one passes, and every lie is found.

use super::*;
use crate::ledger_in_memory::{LedgerInMemory, Lie};
use crate::population::Population;
use crate::survival::load_kind::{LoadKind, LoadLimits};
use rand::SeedableRng;
use rand::rngs::SmallRng;

/// A ledger that was asked for 100 transfers, with the round that tells of them: 0 to 79 acknowledged, 80 to 89 done
/// without an answer, 90 to 94 sent and not done, 95 to 99 never sent.
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
        let population = Population::varied(5, 20);
        books::prepare(&ledger, population, population.funded() + 1).await.expect("it takes the population");
        let baseline = books::baseline(&ledger, population).await.expect("it can be read");
        let mut model = LedgerModel::new(population, baseline, 1_000);
        let limits = LoadLimits { connections: 1, in_flight: 1, batch: 1, server_batch: 1, transfers: 100 };
        let plan = kind.plan(&limits, &mut SmallRng::seed_from_u64(1));
        let mut round = model.begin(kind, plan);
        open(&ledger, &mut round).await;
        round.told = vec![Told::NotSent; 100];
        round.told[80..95].fill(Told::Unknown);
        for number in 0..90 {
            let transfer = round.workload.transfer(number, round.workload.plan(number));
            let outcomes = ledger.create_transfers(&[transfer]).await.expect("answered");
            if number < 80 {
                round.told[number as usize] = (&outcomes[0]).into();
            }
        }
        Self { ledger, model, round }
    }

    /// The first acknowledged transfer that was done.
    fn done(&self) -> Transfer {
        let done = self.round.told.iter().position(|told| told.is_done()).expect("some were done") as u64;
        self.round.workload.transfer(done, self.round.workload.plan(done))
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

#[tokio::test]
async fn a_ledger_that_kept_all_passes_and_what_was_unknown_is_resolved() {
    for kind in LoadKind::ALL {
        let findings = check_with(kind, |_| None).await;
        assert_eq!(findings.first_differences, Vec::<String>::new(), "{kind:?}");
        assert!(findings.passed());
        let opens = u64::from(matches!(kind, LoadKind::WalletCreation | LoadKind::AssetCreation));
        assert_eq!(findings.acknowledged, 80, "{kind:?}");
        assert_eq!(findings.created, opens, "{kind:?}");
        assert_eq!(findings.unknown, 15 + 2 * opens, "{kind:?}");
        assert_eq!(findings.found_after_crash, 10 + opens, "{kind:?}");
        assert_eq!(findings.looked_up_again, 95, "{kind:?}");
        assert!(findings.sent_again >= 80, "{kind:?}");
    }
    assert!(check_with(LoadKind::Refusals, |_| None).await.refused > 0);
}

#[tokio::test]
async fn what_was_lost_doubled_or_changed_is_found() {
    let kind = LoadKind::Batches;
    let lost = check_with(kind, |crashed| Some(Lie::Undo(crashed.done().id))).await;
    assert!(lost.lost >= 1 && lost.doubled >= 1, "gone, and so done again when sent again: {lost:#?}");

    let forgotten = check_with(kind, |crashed| Some(Lie::Forget(crashed.done().id))).await;
    assert!(forgotten.lost >= 1 && forgotten.mismatches >= 1, "{forgotten:#?}");

    let doubled = check_with(kind, |crashed| Some(Lie::Double(crashed.done().id))).await;
    assert!(doubled.mismatches >= 2, "both wallets differ: {doubled:#?}");

    let renumbered = check_with(kind, |crashed| Some(Lie::Renumber(crashed.done().id))).await;
    assert!(renumbered.mismatches >= 1 && renumbered.doubled >= 1, "{renumbered:#?}");

    let changed = check_with(kind, |crashed| Some(Lie::ChangeAmount(crashed.done().id))).await;
    assert!(changed.mismatches >= 1, "{changed:#?}");
}

/// Each lie leads to a difference that is named so.
#[tokio::test]
async fn every_other_lie_is_found_and_named() {
    let check = async |kind, named: &str, lie: fn(&Crashed) -> Lie| {
        let findings = check_with(kind, |crashed| Some(lie(crashed))).await;
        let is_named = findings.first_differences.iter().any(|difference| difference.contains(named));
        assert!(is_named && !findings.passed(), "`{named}` is not in {findings:#?}");
    };
    check(LoadKind::Batches, "never sent", |crashed| {
        let workload = &crashed.round.workload;
        Lie::Do(workload.transfer(97, workload.plan(97)))
    })
    .await;
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
