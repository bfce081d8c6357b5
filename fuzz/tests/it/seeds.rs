//! The seeds: what the product itself writes, as inputs of the targets. The search begins with them.
//!
//! `UPDATE_SEEDS=1 cargo test -p bursar-fuzz seeds` writes them anew after a message or a record has changed.

use ledger::{
    Asset, AssetCode, AssetId, Entry, ImportId, NewWallet, OverdraftLimit, Owner, Refusal, RefusalDetail,
    Status, Transfer, TransferId, WalletFlags, WalletId,
};
use persistence::entry_codec::encode_entry;
use persistence::record::{HASH_BYTES, HEADER_BYTES, push_entry};
use persistence::{Group, Journal, OpenOptions, Record, open};
use protocol::HEADER_LENGTH;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

type Seeds = BTreeMap<String, Vec<u8>>;

fn golden() -> Seeds {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol/golden");
    let entries = fs::read_dir(folder).expect("the golden files");
    let frames = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        (name, fs::read(path).expect("a golden file"))
    });
    frames.collect()
}

/// Every golden message, alone and all of them in one stream, which arrives whole or in pieces.
fn frames() -> Seeds {
    let golden = golden();
    let stream: Vec<u8> = golden.values().flatten().copied().collect();
    let mut seeds: Seeds =
        golden.into_iter().map(|(name, frame)| (name, [&[0, 1], &frame[..]].concat())).collect();
    for (name, arrival) in [("all", 0), ("all_in_pieces", 7)] {
        seeds.insert(name.to_owned(), [&[arrival, 1], &stream[..]].concat());
    }
    seeds
}

/// The golden messages of one direction: message type and body.
fn messages(direction: &str) -> Seeds {
    let golden = golden().into_iter().filter(|(name, _)| name.ends_with(direction));
    golden.map(|(name, frame)| (name, [&[frame[7]], &frame[HEADER_LENGTH..]].concat())).collect()
}

/// One entry of each kind, such that they make a ledger.
fn entries() -> Vec<Entry> {
    let asset = AssetId(840);
    let wallet = |id, flags| NewWallet {
        id: WalletId(id),
        owner: Owner::Bytes(b"somebody".as_slice().into()),
        asset,
        code: 3,
        flags,
        overdraft_limit: OverdraftLimit::Limited(50),
        balance_max: 1_000_000,
        metadata: b"meta".as_slice().into(),
        import: ImportId::NONE,
    };
    let transfer = |id, debit, credit, amount| Transfer {
        id: TransferId(id),
        debit_wallet: WalletId(debit),
        credit_wallet: WalletId(credit),
        asset,
        amount,
        group_id: 1 << 100,
        code: 600,
        effective_at_ns: 1_700_000_000_000_000_000,
        metadata: b"rent".as_slice().into(),
    };
    let insufficient = RefusalDetail::InsufficientFunds { available: 1_050, required: 70_000 };
    let too_much = RefusalDetail::LimitExceeded { limit: 1_000_000 };
    vec![
        Entry::AssetCreated(Asset { id: asset, code: AssetCode::new("USD").expect("a code"), scale: 2 }),
        Entry::WalletCreated(wallet(1, WalletFlags::SYSTEM)),
        Entry::WalletCreated(NewWallet { owner: Owner::Number(9), ..wallet(2, WalletFlags::default()) }),
        Entry::Transferred(transfer(1, 1, 2, 1_000)),
        Entry::TransferRefused {
            transfer: transfer(2, 2, 1, 70_000),
            refusal: Refusal { status: Status::InsufficientFunds, detail: insufficient },
        },
        Entry::TransferRefused {
            transfer: transfer(3, 1, 2, 1 << 90),
            refusal: Refusal { status: Status::LimitExceeded, detail: too_much },
        },
        Entry::TransferRefused {
            transfer: transfer(4, 1, 77, 5),
            refusal: Status::CreditWalletNotFound.into(),
        },
        Entry::Transferred(transfer(5, 2, 1, 7)),
        Entry::WalletCreated(NewWallet { import: ImportId(1 << 90), ..wallet(8, WalletFlags::default()) }),
        Entry::Transferred(Transfer { group_id: 1 << 90, ..transfer(90, 1, 8, 5) }),
        Entry::ImportClosed(ImportId(1 << 90)),
    ]
}

fn payload(entry: &Entry) -> Vec<u8> {
    let mut payload = Vec::new();
    encode_entry(entry, &mut payload);
    payload
}

/// What a journal on a disk says after these entries were appended to it, in two groups.
fn records() -> Vec<Record> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let opened = open(directory.path(), &OpenOptions::default(), &mut |_| Ok(())).expect("a new journal");
    let mut journal = opened.journal;
    let entries = entries();
    for group in [&entries[..5], &entries[5..]] {
        let first_seq = journal.durable_seq() + 1;
        let (mut body, mut entry_ends, mut last_timestamp) = (Vec::new(), Vec::new(), 0);
        for (entry, seq) in group.iter().zip(first_seq..) {
            last_timestamp = 1_700_000_000_000_000_000 + seq;
            push_entry(&mut body, last_timestamp, &payload(entry));
            entry_ends.push(body.len() as u32);
        }
        let group = Group { first_seq, body: &body, entry_ends: &entry_ends, last_timestamp };
        journal.append_group(&group).expect("a healthy journal");
    }
    journal.reader().read_from(1).collect::<Result<_, _>>().expect("a healthy journal")
}

fn journal_records() -> Seeds {
    let mut seeds = Seeds::new();
    for (index, record) in records().iter().enumerate() {
        let bytes = record.as_bytes();
        seeds.insert(format!("record_{index}"), [&[0], bytes].concat());
        seeds.insert(format!("record_{index}_to_be_hashed"), [&[1], bytes].concat());
        let body = &bytes[HEADER_BYTES..bytes.len() - HASH_BYTES];
        seeds.insert(format!("body_{index}"), [&[2, record.count() as u8], body].concat());
    }
    for (index, entry) in entries().iter().enumerate() {
        seeds.insert(format!("entry_{index}"), [&[3], &payload(entry)[..]].concat());
    }
    seeds
}

fn backups() -> Seeds {
    let (mut content, mut bodies) = (Vec::new(), vec![2]);
    for record in &records() {
        let bytes = record.as_bytes();
        content.extend((bytes.len() as u32).to_le_bytes());
        content.extend(bytes);
        let body = &bytes[HEADER_BYTES..bytes.len() - HASH_BYTES];
        bodies.push(record.count() as u8);
        bodies.extend((body.len() as u16).to_le_bytes());
        bodies.extend(body);
    }
    let last = records().pop().expect("there are two");
    content.extend([&0_u32.to_le_bytes()[..], &last.last_seq().to_le_bytes(), &last.hash()].concat());
    let whole = fuzz::backup::backup_of(&content);
    let nothing = [&[0; 4 + 8][..], &[0; HASH_BYTES]].concat();
    let seeds = [
        ("whole", [&[0], &whole[..]].concat()),
        ("cut_off", [&[0], &whole[..whole.len() - 20]].concat()),
        ("of_nothing", [&[0], &fuzz::backup::backup_of(&nothing)[..]].concat()),
        ("content", [&[1], &content[..]].concat()),
        ("content_of_nothing", [&[1], &nothing[..]].concat()),
        ("bodies", bodies),
    ];
    seeds.into_iter().map(|(name, seed)| (name.to_owned(), seed)).collect()
}

fn configurations() -> Seeds {
    let everything = "data = \"/var/lib/bursar\"\nlisten = \"[::1]:7411\"\nhttp = '127.0.0.1:0'\nshards = 4\n\
        frame_bytes_max = 4_194_304\nconnections_max = 10\nconnection_requests_max = 0x10\n\
        connection_operations_max = 100\noperations_max = 262144\nrequest_bytes_max = 268435456\n\
        handshake_timeout = \"5s\"\nidle_timeout = \"1h 30m\"\nwrite_timeout = 0\nkeepalive = \"250ms\"\n\
        drain_timeout = \"10s\"\nfree_bytes_min = 0\naccept_clock = true\nlog = \"info,sled=error\"\n\
        log_format = \"json\"\n";
    let seeds = [
        ("empty", ""),
        ("everything", everything),
        ("comment", "# nothing\n\n"),
        ("unknown_name", "shard = 4\n"),
        ("no_unit", "idle_timeout = 5\n"),
        ("wrong_type", "shards = \"four\"\n"),
        ("too_much", "request_bytes_max = 9223372036854775807\n"),
        ("not_toml", "shards 4\n"),
        ("table", "[default]\nshards = 4\n[listen]\nport = 1\n"),
        ("nested", "log = [[{ a = { b = 1979-05-27T07:32:00Z } }], 1.5e3, nan]\n"),
        ("text", "log = \"\"\"\na\\tb \\u00e9 \\\n  c\"\"\"\ndata = '''\nd'''\n"),
    ];
    seeds.into_iter().map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec())).collect()
}

#[test]
fn what_the_product_writes_is_where_the_search_begins() {
    let targets = [
        ("frame", frames(), fuzz::frame::check as fn(&[u8])),
        ("request", messages("_request"), fuzz::request::check),
        ("reply", messages("_reply"), fuzz::reply::check),
        ("journal_record", journal_records(), fuzz::journal_record::check),
        ("backup", backups(), fuzz::backup::check),
        ("config", configurations(), fuzz::config::check),
    ];
    let update = std::env::var_os("UPDATE_SEEDS").is_some();
    for (target, seeds, check) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        for (name, seed) in seeds {
            check(&seed);
            let path = folder.join(name);
            if update {
                fs::create_dir_all(&folder).expect("a folder for seeds");
                fs::write(&path, &seed).expect("a seed can be written");
            }
            let kept = fs::read(&path).unwrap_or_default();
            assert!(kept == seed, "{} is not what is written now: UPDATE_SEEDS=1 writes it", path.display());
        }
    }
}
