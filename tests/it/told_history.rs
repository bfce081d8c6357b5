//! What a ledger has told of its past, from its own records: the naive model that reads and events are held to.

use client::{Client, ListedWallet, OpenHold, RecordsQuery, StatementRow};
use ledger::{Effect, Entry, NewWallet, Position, Setting, Side, TransferId, WalletId};
use persistence::Record;
use persistence::entry_codec::decode_entry;
use std::collections::BTreeMap;

/// Every entry from the first on, and all that follows from them.
pub(crate) struct ToldHistory {
    /// With their numbers and times.
    pub(crate) entries: Vec<(u64, u64, Entry)>,
    /// Where every wallet stood after each entry; before the first one at 0.
    pub(crate) positions: Vec<BTreeMap<WalletId, Position>>,
    /// What each entry did to each wallet.
    pub(crate) rows: BTreeMap<WalletId, Vec<StatementRow>>,
    /// The holds of each wallet whose end is not journaled.
    pub(crate) holds: BTreeMap<WalletId, BTreeMap<TransferId, OpenHold>>,
    /// The wallets as they are.
    pub(crate) wallets: BTreeMap<WalletId, ListedWallet>,
}

/// All records from the first on, read with pages of so many bytes.
pub(crate) async fn read_records(client: &Client, bytes_max: u32) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    loop {
        let from_seq = records.last().map_or(1, |last| last.last_seq() + 1);
        let page = client.read_records(RecordsQuery { from_seq, bytes_max }).await.unwrap();
        if page.records.is_empty() {
            assert_eq!(page.durable_seq + 1, from_seq, "everything durable was told");
            return records;
        }
        let bytes: usize = page.records.iter().map(Vec::len).sum();
        assert!(bytes_max == 0 || page.records.len() == 1 || bytes <= bytes_max as usize);
        for bytes in page.records {
            let record = Record::decode(bytes).expect("a record as it was written");
            let chained = records.last().is_none_or(|last| last.hash() == record.prev_hash());
            let follows = record.first_seq() == records.last().map_or(1, |last| last.last_seq() + 1);
            assert!(chained && follows, "entry {} does not follow the one before", record.first_seq());
            records.push(record);
        }
    }
}

impl ToldHistory {
    pub(crate) async fn read(client: &Client) -> Self {
        let mut told = Self {
            entries: Vec::new(),
            positions: vec![BTreeMap::new()],
            rows: BTreeMap::new(),
            holds: BTreeMap::new(),
            wallets: BTreeMap::new(),
        };
        for record in read_records(client, 0).await {
            for (seq, timestamp_ns, payload) in record.entries() {
                told.add(seq, timestamp_ns, decode_entry(seq, payload).expect("an entry"));
            }
        }
        told
    }

    pub(crate) fn last_seq(&self) -> u64 {
        self.entries.len() as u64
    }

    fn add(&mut self, seq: u64, timestamp_ns: u64, entry: Entry) {
        assert_eq!(seq, self.last_seq() + 1);
        let mut positions = self.positions.last().expect("there is the first").clone();
        match &entry {
            Entry::WalletCreated(terms) => {
                positions.insert(terms.id, Position::default());
                self.wallets.insert(terms.id, new(terms, seq, timestamp_ns));
            }
            Entry::WalletChanged(change) => {
                let wallet = self.wallets.get_mut(&change.wallet).expect("it exists");
                match change.setting.clone() {
                    Setting::Limits { overdraft_limit, balance_max } => {
                        wallet.terms.overdraft_limit = overdraft_limit;
                        wallet.terms.balance_max = balance_max;
                    }
                    Setting::Flags { set, clear } => {
                        wallet.terms.flags = wallet.terms.flags.with(set).without(clear);
                    }
                    Setting::Metadata(metadata) => wallet.terms.metadata = metadata,
                }
                (wallet.version, wallet.last_seq) = (wallet.version + 1, seq);
            }
            _ => {}
        }
        let route = entry.route();
        for part in route.parts() {
            let position = positions.get_mut(&part.wallet).expect("it exists");
            position.apply(&part.effect);
            let wallet = self.wallets.get_mut(&part.wallet).expect("it exists");
            (wallet.version, wallet.last_seq, wallet.position) = (wallet.version + 1, seq, *position);
            let holds = self.holds.entry(part.wallet).or_default();
            let (debits, credits) = match part.effect {
                Effect::Move { debits, credits } => (debits, credits),
                Effect::Hold { id, side, amount, timeout_s } => {
                    let expires_at_ns = match timeout_s {
                        0 => u64::MAX,
                        seconds => timestamp_ns + u64::from(seconds) * 1_000_000_000,
                    };
                    holds.insert(id, OpenHold { id, side, amount, expires_at_ns, seq });
                    (0, 0)
                }
                Effect::Resolve { id, side, captured, .. } => {
                    holds.remove(&id).expect("it was open");
                    if side == Side::Debit { (captured, 0) } else { (0, captured) }
                }
            };
            let others: Vec<WalletId> = route
                .parts()
                .iter()
                .map(|part| part.wallet)
                .filter(|wallet| *wallet != part.wallet)
                .collect();
            let id = match &entry {
                Entry::Expired { pending_id, .. } => *pending_id,
                entry => entry.order_id().expect("an order"),
            };
            let (group_id, code) = entry.group_and_code();
            self.rows.entry(part.wallet).or_default().push(StatementRow {
                seq,
                timestamp_ns,
                kind: entry.kind().expect("it moves or holds something"),
                id,
                counterparty: if let [other] = others[..] { Some(other) } else { None },
                debits,
                credits,
                code,
                group_id,
                position: *position,
            });
        }
        self.positions.push(positions);
        self.entries.push((seq, timestamp_ns, entry));
    }
}

fn new(terms: &NewWallet, seq: u64, timestamp_ns: u64) -> ListedWallet {
    ListedWallet {
        terms: terms.clone(),
        position: Position::default(),
        version: 1,
        last_seq: seq,
        created_seq: seq,
        created_at_ns: timestamp_ns,
    }
}
