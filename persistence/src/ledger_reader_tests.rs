//! Books and journal read together, as of entries below and above the marker.

use crate::bookkeeper::{Bookkeeper, Folded};
use crate::books::books_tests::{open, options};
use crate::books::invented_ledger::{Chance, InventedLedger, MemoryJournal};
use crate::books::view::{Direction, WalletQuery};
use crate::journal::JournalReader;
use crate::ledger_reader::{LedgerReader, StatementQuery};
use crate::wallet_index::WalletIndex;
use ledger::{OrderKind, Owner, WalletFlags};
use proptest::prelude::*;
use std::sync::Arc;

fn check(reader: &LedgerReader, ledger: &InventedLedger, seq: u64) {
    let earlier = ledger.as_of(seq);
    let fold = &earlier.fold;
    assert_eq!(reader.totals_as_of(seq).unwrap(), fold.totals(), "as of {seq}");
    for id in ledger.fold.wallets.keys() {
        let expected = fold.wallets.get(id);
        assert_eq!(reader.wallet_as_of(*id, seq).unwrap().as_ref(), expected, "{id} as of {seq}");
        let creation = expected.map(|wallet| (wallet.created_seq, wallet.terms.import));
        assert_eq!(reader.creation(*id, seq).unwrap(), creation, "{id} as of {seq}");
        let position = expected.map(|wallet| wallet.position);
        assert_eq!(reader.position_at(*id, seq).unwrap(), position, "{id} as of {seq}");
        let rows: Vec<_> =
            earlier.history.iter().filter(|(wallet, _)| wallet == id).map(|(_, row)| *row).collect();
        assert_eq!(reader.history(*id, 0, seq, Direction::Forward, usize::MAX).unwrap(), rows);
        let newest: Vec<_> = rows.iter().rev().filter(|row| row.seq >= 9).take(4).copied().collect();
        assert_eq!(reader.history(*id, 9, seq, Direction::Backward, 4).unwrap(), newest);

        let (mut holds, mut after) = (Vec::new(), None);
        loop {
            let page = reader.list_pending(*id, seq, after, 2).unwrap();
            holds.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected = expected.iter().flat_map(|wallet| wallet.holds.iter());
        assert_eq!(holds, expected.map(|(id, hold)| (id, *hold)).collect::<Vec<_>>());

        let (mut transfers, mut first_seq) = (Vec::new(), 0);
        loop {
            let page = reader.statement(
                *id,
                &StatementQuery {
                    first_seq,
                    last_seq: seq,
                    direction: Direction::Forward,
                    limit: 2,
                    scan_max: 5,
                    kind: Some(OrderKind::Transfer),
                    code: None,
                    group_id: None,
                },
            );
            let page = page.unwrap();
            transfers.extend(page.items);
            let Some(next) = page.next else { break };
            first_seq = next + 1;
        }
        let expected = rows.iter().filter(|row| row.kind == Some(OrderKind::Transfer));
        assert_eq!(transfers, expected.copied().collect::<Vec<_>>());
    }
    for (owner, flags) in [(None, WalletFlags::default()), (Some(Owner::Number(9)), WalletFlags::SYSTEM)] {
        let imports = Arc::new(fold.imports.keys().copied().collect());
        let mut query =
            WalletQuery { owner, flags, imports, limit: 2, scan_max: 3, ..WalletQuery::default() };
        let mut listed = Vec::new();
        loop {
            let page = reader.list_wallets(&query, seq).unwrap();
            listed.extend(page.items.iter().map(|wallet| wallet.terms.id));
            query.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        let mut expected: Vec<_> = fold
            .wallets
            .values()
            .filter(|wallet| query.matches(wallet) && !fold.is_importing(wallet))
            .map(|wallet| wallet.terms.id)
            .collect();
        expected.sort_unstable();
        assert_eq!(listed, expected, "as of {seq}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn books_and_journal_together_answer_as_of_any_durable_entry(
        seed in any::<u64>(),
        wallets in 2_u64..6,
        folded in 1_u64..90,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut chance = Chance::new(seed);
        let ledger = InventedLedger::invent(seed, 100, wallets);
        let journal = Arc::new(MemoryJournal::of(&ledger, &mut chance, 7));
        let index = Arc::new(WalletIndex::default());
        for (seq, (_, entry)) in (1..).zip(&ledger.entries) {
            entry.wallets().for_each(|wallet| index.push(wallet, seq));
        }
        let books = open(&directory.path().join("books"), &options(folded));
        let reader = LedgerReader::new(
            Arc::clone(&journal) as Arc<dyn JournalReader>,
            Arc::clone(&books),
            Arc::clone(&index),
        );
        let forgets = Arc::clone(&index);
        let mut bookkeeper = Bookkeeper::new(
            Arc::clone(&books),
            Arc::clone(&journal) as _,
            Arc::clone(&journal) as _,
            Box::new(move |view| forgets.forget_through(view.seq())),
        );
        let mut seqs = vec![1, 50, 99, 100];
        for round in 0..3 {
            let marker = books.view().seq();
            seqs.extend([marker.max(1), (marker + 1).min(100), marker / 2 + 1]);
            for &seq in &seqs {
                check(&reader, &ledger, seq);
            }
            for seq in [1, marker.max(1), 100] {
                let (timestamp_ns, entry) = &ledger.entries[seq as usize - 1];
                prop_assert_eq!(reader.entry(seq).unwrap(), Some((*timestamp_ns, entry.clone())));
                prop_assert_eq!(reader.seq_at(*timestamp_ns, 100).unwrap(), seq);
                prop_assert_eq!(reader.seq_at(timestamp_ns - 1, 100).unwrap(), seq - 1);
                let read: Vec<_> = reader.records_from(seq).collect::<Result<_, _>>().unwrap();
                prop_assert!(read[0].first_seq() <= seq && read[0].last_seq() >= seq);
                prop_assert_eq!(read.last().unwrap().last_seq(), 100);
                prop_assert!(read.windows(2).all(|pair| pair[0].last_seq() + 1 == pair[1].first_seq()));
            }
            prop_assert_eq!(reader.entry(101).unwrap(), None);
            if round < 2 {
                prop_assert!(!matches!(bookkeeper.step().unwrap(), Folded::Behind));
            }
        }
    }
}
