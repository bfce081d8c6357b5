//! Compares every answer with the journal: is it true, is it on disk, and is it no older than what was known before?
//!
//! The journal is one total order, so the answers are strictly serializable if each is right as of an entry that is not
//! older than the newest that anybody had been answered from when the request was sent.

use super::clients::Asked;
use super::history::History;
use crate::request::{Answer, Progress, TransferView, WalletView};
use ledger::original::Original;
use ledger::{
    Entry, HoldState, ImportId, Order, Outcome, Refusal, RefusalDetail, Status, TransferId, WalletChange,
    WalletId,
};

/// A request and its answer.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) asked: Asked,
    pub(super) has_deadline: bool,
    /// The newest entry that anybody had been answered from when it was sent.
    pub(super) known_seq: u64,
}

/// What may have been answered in place of an outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Troubles {
    /// Wallets have panicked.
    pub(super) panics: bool,
}

/// Checks the answer, and returns the newest entry that it lets its reader know of.
pub(super) fn check(call: &Call, answer: Answer, history: &History, troubles: Troubles) -> u64 {
    match (&call.asked, answer) {
        (Asked::Assets(assets), Answer::Outcomes { outcomes, .. }) => {
            assert_eq!(outcomes.len(), assets.len());
            let checked = assets.iter().zip(&outcomes).map(|(asset, outcome)| match asset {
                _ if outcome.status == Status::DeadlineExceeded => {
                    assert!(troubled(call, outcome, troubles), "{outcome:?}");
                    0
                }
                Err(refusal) => not_journaled(outcome, *refusal),
                Ok(asset) => match outcome.status {
                    Status::Created | Status::Exists => {
                        assert_eq!(entry(history, outcome), &Entry::AssetCreated(asset.clone()));
                        new_or_replayed(call, outcome)
                    }
                    other => panic!("no asset is answered {other}"),
                },
            });
            newest(checked)
        }
        (Asked::Wallets(wallets), Answer::Outcomes { outcomes, .. }) => {
            assert_eq!(outcomes.len(), wallets.len());
            let checked = wallets.iter().zip(&outcomes).map(|(terms, outcome)| match outcome.status {
                Status::Created | Status::Exists => {
                    assert_eq!(entry(history, outcome), &Entry::WalletCreated(terms.clone()));
                    new_or_replayed(call, outcome)
                }
                Status::AssetNotFound => {
                    let known = history.fold().assets.get(&terms.asset);
                    assert!(known.is_none_or(|(_, seq, _)| *seq > call.known_seq), "{terms:?} {outcome:?}");
                    0
                }
                Status::ImportIsClosed => {
                    assert!(history.fold().imports.contains_key(&terms.import), "{terms:?} {outcome:?}");
                    not_journaled(outcome, Status::ImportIsClosed.into())
                }
                status => match (troubled(call, outcome, troubles), entry_if_any(history, outcome)) {
                    (true, None) => 0,
                    (_, Some(Entry::WalletCreated(first))) => {
                        assert_eq!(status, first.compare(terms), "{outcome:?}");
                        outcome.seq
                    }
                    _ => panic!("{terms:?} is answered {outcome:?}"),
                },
            });
            newest(checked)
        }
        (Asked::Imports(imports), Answer::Outcomes { outcomes, .. }) => {
            assert_eq!(outcomes.len(), imports.len());
            let checked = imports.iter().zip(&outcomes).map(|(import, outcome)| match outcome.status {
                Status::Created | Status::Exists => {
                    assert_eq!(entry(history, outcome), &Entry::ImportClosed(*import));
                    new_or_replayed(call, outcome)
                }
                Status::IdMustNotBeZero => {
                    assert_eq!(*import, ImportId::NONE);
                    not_journaled(outcome, Status::IdMustNotBeZero.into())
                }
                _ => {
                    assert!(troubled(call, outcome, troubles), "{import} is answered {outcome:?}");
                    0
                }
            });
            newest(checked)
        }
        (Asked::Changes(changes), Answer::Outcomes { outcomes, .. }) => {
            assert_eq!(outcomes.len(), changes.len());
            let checked = changes
                .iter()
                .zip(&outcomes)
                .map(|(change, outcome)| check_change(call, change, outcome, history, troubles));
            newest(checked)
        }
        (Asked::Orders { orders, with_balances }, Answer::Outcomes { outcomes, balances }) => {
            assert_eq!(outcomes.len(), orders.len());
            let checked = orders
                .iter()
                .zip(&outcomes)
                .map(|(order, outcome)| check_order(call, order, outcome, history, troubles));
            let newest_outcome = newest(checked);
            if !*with_balances {
                assert!(balances.is_empty());
                return newest_outcome;
            }
            // A read that failed leaves the positions out; the outcomes stand.
            let views = balances.iter().flatten();
            let newest_view = newest(views.map(|view| {
                assert!(view.as_of_seq >= newest_outcome, "{view:?} is older than entry {newest_outcome}");
                check_wallet(call, view.wallet.terms.id, Some(view), history)
            }));
            newest_outcome.max(newest_view)
        }
        (Asked::ReadWallets(ids), Answer::Wallets(views)) => {
            assert_eq!(ids.len(), views.len());
            newest(ids.iter().zip(&views).map(|(id, view)| check_wallet(call, *id, view.as_ref(), history)))
        }
        (Asked::ReadTransfers(ids), Answer::Transfers(views)) => {
            assert_eq!(ids.len(), views.len());
            newest(ids.iter().zip(&views).map(|(id, view)| check_view(call, *id, view.as_ref(), history)))
        }
        (Asked::TrialBalance, Answer::TrialBalance(view)) => {
            assert!(view.as_of_seq >= call.known_seq, "{view:?} is older than entry {}", call.known_seq);
            assert_eq!(view.assets, history.totals_at(view.as_of_seq), "as of {}", view.as_of_seq);
            assert!(view.assets.iter().all(|(_, totals)| totals.is_balanced()), "{view:?}");
            view.as_of_seq
        }
        (Asked::ReadWallets(_) | Asked::ReadTransfers(_) | Asked::TrialBalance, Answer::DeadlineExceeded) => {
            assert!(call.has_deadline);
            0
        }
        (Asked::ReadWallets(_), Answer::Unavailable) => {
            assert!(troubles.panics, "only a wallet that fails gives a read up");
            0
        }
        (asked, answer) => panic!("{asked:?} is answered {answer:?}"),
    }
}

fn newest(seqs: impl Iterator<Item = u64>) -> u64 {
    seqs.fold(0, u64::max)
}

fn entry<'a>(history: &'a History, outcome: &Outcome) -> &'a Entry {
    let (timestamp_ns, entry) = history.entry(outcome.seq);
    assert_eq!(*timestamp_ns, outcome.timestamp_ns, "{outcome:?}");
    entry
}

fn entry_if_any<'a>(history: &'a History, outcome: &Outcome) -> Option<&'a Entry> {
    (outcome.seq > 0).then(|| entry(history, outcome))
}

fn not_journaled(outcome: &Outcome, refusal: Refusal) -> u64 {
    assert_eq!(*outcome, Outcome::refused(refusal));
    0
}

/// What was done by this request stands after everything known when it was sent.
fn new_or_replayed(call: &Call, outcome: &Outcome) -> u64 {
    assert_eq!(outcome.replayed, outcome.status != Status::Created, "{outcome:?}");
    assert!(outcome.replayed || outcome.seq > call.known_seq, "{outcome:?} and {} was known", call.known_seq);
    outcome.seq
}

/// Whether the outcome is one that an operation may get which nothing was done for.
fn troubled(call: &Call, outcome: &Outcome, troubles: Troubles) -> bool {
    outcome.seq == 0
        && match outcome.status {
            Status::DeadlineExceeded => call.has_deadline,
            Status::InternalError | Status::WalletQuarantined | Status::Unavailable => troubles.panics,
            Status::Contended => true,
            _ => false,
        }
}

fn check_order(call: &Call, order: &Order, outcome: &Outcome, history: &History, troubles: Troubles) -> u64 {
    if outcome.status == Status::DeadlineExceeded {
        assert!(troubled(call, outcome, troubles), "{outcome:?}");
        return 0;
    }
    if let Err(refusal) = order.check_shape() {
        return not_journaled(outcome, refusal);
    }
    if outcome.status == Status::WalletImporting {
        assert!(history.may_meet_import(order, call.known_seq), "{order:?} is answered {outcome:?}");
        return not_journaled(outcome, Status::WalletImporting.into());
    }
    if outcome.seq == 0 {
        assert!(troubled(call, outcome, troubles), "{order:?} is answered {outcome:?}");
        return 0;
    }
    let Some((original, refusal)) = entry(history, outcome).clone().into_order() else {
        panic!("{order:?} is answered {outcome:?}, and there stands {:?}", entry(history, outcome));
    };
    let first = refusal.unwrap_or(Status::Created.into());
    assert_eq!(original.id(), order.id(), "{outcome:?}");
    let again = original.compare(order);
    let expected = match (outcome.replayed, again) {
        (false, Status::Exists) => {
            assert!(outcome.seq > call.known_seq, "{outcome:?} and {} was known", call.known_seq);
            first
        }
        (true, Status::Exists) if first.status == Status::Created => Status::Exists.into(),
        (true, Status::Exists) => Refusal {
            status: Status::IdAlreadyRefused,
            detail: RefusalDetail::AlreadyRefused { first_status: first.status },
        },
        (_, different) => different.into(),
    };
    assert_eq!(Refusal { status: outcome.status, detail: outcome.detail }, expected, "{order:?}");
    outcome.seq
}

fn check_change(
    call: &Call,
    change: &WalletChange,
    outcome: &Outcome,
    history: &History,
    troubles: Troubles,
) -> u64 {
    if let Err(refusal) = change.check_shape()
        && outcome.status != Status::DeadlineExceeded
    {
        return not_journaled(outcome, refusal);
    }
    match outcome.status {
        Status::Created => {
            assert_eq!(entry(history, outcome), &Entry::WalletChanged(change.clone()));
            new_or_replayed(call, outcome)
        }
        // It was so already, as of the newest entry of the wallet.
        Status::Exists => {
            let wallet = history.wallet_at(change.wallet, outcome.seq);
            assert_eq!(
                change.decide(wallet, outcome.timestamp_ns),
                Ok(Status::Exists),
                "{change:?} of {wallet:?}"
            );
            outcome.seq
        }
        Status::WalletNotFound => {
            let known = history.wallet_at(change.wallet, call.known_seq);
            assert_eq!(known, None, "{change:?}");
            0
        }
        Status::BalanceNotZero | Status::HoldsAreOpen => {
            assert_eq!(outcome.seq, 0, "{outcome:?}");
            0
        }
        _ => {
            assert!(troubled(call, outcome, troubles), "{change:?} is answered {outcome:?}");
            0
        }
    }
}

fn check_wallet(call: &Call, id: WalletId, view: Option<&WalletView>, history: &History) -> u64 {
    let Some(view) = view else {
        assert!(
            !history.shows_at(id, call.known_seq),
            "wallet {id} is not found, and was shown at {}",
            call.known_seq
        );
        return 0;
    };
    assert!(view.as_of_seq >= call.known_seq, "{view:?} is older than entry {}", call.known_seq);
    assert!(view.as_of_seq <= history.last_seq(), "{view:?} is not durable");
    assert!(history.shows_at(id, view.as_of_seq), "{view:?} is being imported");
    let expected = history.wallet_at(id, view.as_of_seq);
    let shown = expected.map(|wallet| (wallet.without_holds(), wallet.available(view.as_of_ns)));
    assert_eq!(Some((view.wallet.clone(), view.available)), shown, "as of {}", view.as_of_seq);
    view.as_of_seq
}

fn check_view(call: &Call, id: TransferId, view: Option<&TransferView>, history: &History) -> u64 {
    let Some(view) = view else {
        let decided = history.decided(id);
        assert!(
            decided.is_none_or(|seq| seq > call.known_seq),
            "{id} is not found, and stands at {decided:?}"
        );
        return 0;
    };
    assert_eq!(view.order.id(), id);
    let Some((order, refusal)) = entry(history, &view.outcome).clone().into_order() else {
        panic!("{view:?} is found, and there stands {:?}", entry(history, &view.outcome));
    };
    let refusal = refusal.unwrap_or(Status::Created.into());
    let outcome = &view.outcome;
    assert_eq!((&view.order, outcome.status, outcome.detail), (&order, refusal.status, refusal.detail));
    let known = history.original_at(id, call.known_seq.max(outcome.seq)).expect("it was decided");
    let now = history.original_at(id, u64::MAX).expect("it was decided");
    match (view.progress, known, now) {
        (Progress::None, Original::Neither, _) => {}
        (
            Progress::Hold { terms, state },
            Original::Hold { terms: expected, state: known },
            Original::Hold { state: now, .. },
        ) => {
            assert_eq!(terms, expected, "{view:?}");
            // No older than what was known, and no newer than what is durable.
            assert!(
                state == known || (known == HoldState::Open && state == now),
                "{view:?}: {known:?}, {now:?}"
            );
        }
        (
            Progress::Moved { amount, reversed },
            Original::Moved { amount: expected, reversed: known, .. },
            Original::Moved { reversed: now, .. },
        ) => {
            assert_eq!(amount, expected, "{view:?}");
            assert!((known..=now).contains(&reversed), "{view:?}: {known} to {now}");
        }
        (progress, known, _) => panic!("{progress:?} is no progress of {known:?}"),
    }
    outcome.seq
}
