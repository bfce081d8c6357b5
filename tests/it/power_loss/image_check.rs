//! Opens what a power cut left with the real code, and holds it against what was acknowledged.

use super::recording::contents;
use super::witness::{Entries, Witness};
use crate::books::{BANK, Chance, open_books_again, transfer};
use crate::server::{Server, bursar, run};
use ledger::{Asset, AssetCode, AssetId, Entry, Status, Transfer};
use persistence::clock::wall_clock_ns;
use persistence::entry_codec::{decode_entry, encode_entry};
use persistence::record::push_entry;
use persistence::{
    Bookkeeper, BooksOptions, Folded, Group, JournalReader, LedgerReader, OpenOptions, OpenedLedger,
    open_ledger, verify,
};
use std::path::Path;
use std::sync::Arc;

/// What an opening may find, as numbers in [`Found`].
pub(crate) const FINDINGS: [&str; 5] = [
    "as a clean stop left it",
    "never completed",
    "a head with a torn slot",
    "a snapshot that an opening left unfinished",
    "more entries than anybody was told of",
];

/// Which of the [`FINDINGS`] were made.
pub(crate) type Found = [usize; 5];

/// Says what was found, or what is wrong with the directory. Chance decides what else than opening is tried.
pub(crate) fn check(data: &Path, witness: &Witness, chance: &mut Chance) -> Result<Found, String> {
    if chance.below(4) == 0 {
        check_verification(data, witness)?;
    }
    if chance.below(25) == 0 {
        check_served(data, witness, chance)?;
        return Ok(Found::default());
    }
    check_opened(data, witness, chance)
}

/// Opens it in this process, twice.
pub(crate) fn check_opened(data: &Path, witness: &Witness, chance: &mut Chance) -> Result<Found, String> {
    let was_begun = data.exists();
    let (mut ledger, entries) = open(data)?;
    let report = &ledger.report;
    let has_warning = |part: &str| report.warnings.iter().any(|warning| warning.contains(part));
    let found = [
        report.clean && !report.created,
        report.created && was_begun,
        has_warning("slots"),
        has_warning("left by a crash during an open"),
        report.last_seq > witness.newest_seq,
    ];
    if ledger.report.head_seq < witness.newest_seq {
        return Err(format!(
            "head says that {} was acknowledged, and {} was",
            ledger.report.head_seq, witness.newest_seq
        ));
    }
    let positions = witness.judge(&entries)?;
    let reader = LedgerReader::new(
        ledger.journal.reader(),
        Arc::clone(&ledger.books),
        Arc::new(std::mem::take(&mut ledger.index)),
    );
    for (id, position) in &positions {
        let read = reader.position_at(*id, ledger.last_seq).map_err(|error| error.to_string())?;
        if read.as_ref() != Some(position) {
            return Err(format!("wallet {id} stands at {position:?}, and {read:?} is read"));
        }
    }
    let totals = reader.totals_as_of(ledger.last_seq).map_err(|error| error.to_string())?;
    if totals.values().map(|totals| totals.wallets).sum::<u64>() != positions.len() as u64 {
        return Err(format!("there are {} wallets, and the totals are {totals:?}", positions.len()));
    }
    drop(reader);
    let appended = if chance.below(4) == 0 { Some(append(ledger, chance)?) } else { end(ledger, chance)? };
    let (ledger, again) = open(data).map_err(|error| format!("when opened a second time: {error}"))?;
    if again[..entries.len().min(again.len())] != entries || again.get(entries.len()) != appended.as_ref() {
        let (before, after) = (entries.len(), again.len());
        return Err(format!("the second opening finds other entries: {after}, {before} before"));
    }
    end(ledger, chance)?;
    Ok(found.map(usize::from))
}

fn open(data: &Path) -> Result<(OpenedLedger, Entries), String> {
    let options = BooksOptions::default();
    let mut above = Entries::new();
    let opened = open_ledger(
        data,
        &OpenOptions::default(),
        &options,
        false,
        &mut |_, timestamp_ns, entry| {
            above.push((timestamp_ns, entry));
            Ok(())
        },
        &mut |_| Ok(()),
    );
    let ledger = opened.map_err(|error| format!("it was refused: {error}"))?;
    let reader = LedgerReader::new(ledger.journal.reader(), Arc::clone(&ledger.books), Arc::default());
    let mut entries = Entries::new();
    for record in reader.whole_journal().read_from(1) {
        let record = record.map_err(|error| format!("it cannot be read: {error}"))?;
        for (seq, timestamp_ns, payload) in record.entries() {
            let entry = decode_entry(seq, payload).map_err(|error| error.to_string())?;
            entries.push((timestamp_ns, entry));
            if entries.len() as u64 != seq {
                return Err(format!("entry {seq} comes as number {}", entries.len()));
            }
        }
    }
    if !entries.ends_with(&above) {
        return Err(format!("the last {} entries were given otherwise", above.len()));
    }
    Ok((ledger, entries))
}

/// What the books lack is folded into them, or not; then a clean stop, or none.
fn end(ledger: OpenedLedger, chance: &mut Chance) -> Result<Option<(u64, Entry)>, String> {
    if chance.below(2) == 0 {
        let (reader, trimmer) = (ledger.journal.reader(), ledger.journal.trimmer());
        let mut bookkeeper = Bookkeeper::new(Arc::clone(&ledger.books), reader, trimmer, Box::new(|_| {}));
        let folded = loop {
            match bookkeeper.step() {
                Ok(Folded::Some(_)) => {}
                other => break other,
            }
        };
        folded.map_err(|error| format!("it cannot be folded: {error}"))?;
    }
    if chance.below(2) == 0 {
        ledger.journal.close().map_err(|error| format!("it does not stop cleanly: {error}"))?;
    }
    Ok(None)
}

/// Appends one more entry, and ends.
fn append(mut ledger: OpenedLedger, chance: &mut Chance) -> Result<(u64, Entry), String> {
    let code = AssetCode::new("NEW").expect("a right code");
    let entry = Entry::AssetCreated(Asset { id: AssetId(4_000_000_000), code, scale: 0 });
    let timestamp_ns = wall_clock_ns().max(ledger.last_timestamp_ns + 1);
    let (mut payload, mut body) = (Vec::new(), Vec::new());
    encode_entry(&entry, &mut payload);
    push_entry(&mut body, timestamp_ns, &payload);
    let entry_ends = [u32::try_from(body.len()).expect("small")];
    let group = Group {
        first_seq: ledger.last_seq + 1,
        body: &body,
        entry_ends: &entry_ends,
        last_timestamp: timestamp_ns,
    };
    ledger.journal.append_group(&group).map_err(|error| format!("it takes no more entries: {error}"))?;
    end(ledger, chance)?;
    Ok((timestamp_ns, entry))
}

/// A verification finds no fault, and changes nothing.
fn check_verification(data: &Path, witness: &Witness) -> Result<(), String> {
    if !data.join("VERSION").exists() {
        // Its making was never completed; that is for the opening to sort out.
        return Ok(());
    }
    let before = contents(data);
    let report = verify(data).map_err(|error| format!("verification fails: {error}"))?;
    if report.recovery.head_seq < witness.newest_seq || report.recovery.last_seq < witness.newest_seq {
        return Err(format!("verification does not find {}: {:?}", witness.newest_seq, report.recovery));
    }
    if contents(data) != before {
        return Err("verification changed the directory".to_owned());
    }
    Ok(())
}

/// The real binary serves it: every id that was used up is answered as it was, and new transfers are taken.
pub(crate) fn check_served(data: &Path, witness: &Witness, chance: &mut Chance) -> Result<(), String> {
    let started = Server::attempt(data, &["--shards", "2"]);
    let mut server = started.map_err(|ended| format!("the server did not start: {ended:?}"))?;
    let settled = witness.settled_transfers();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answered = runtime.block_on(async {
        let client = server.client().await;
        let again: Vec<Transfer> = settled.iter().map(|(transfer, ..)| transfer.clone()).collect();
        let answered = client.create_transfers(&again).await.expect("the server answers");
        open_books_again(&client).await;
        let new = transfer(u128::MAX, BANK, 2, 1);
        let created = client.create_transfers(&[new]).await.expect("the server answers")[0];
        if created.status != Status::Created {
            return Err(format!("a new transfer is answered {created:?}"));
        }
        Ok(answered)
    })?;
    for ((transfer, status, seq), outcome) in settled.iter().zip(answered) {
        if (outcome.status, outcome.seq) != (*status, *seq) || !outcome.replayed {
            return Err(format!("{transfer:?} should be answered {status} of {seq}, and is {outcome:?}"));
        }
    }
    if chance.below(2) == 0 {
        server.kill();
    } else {
        server.stop();
    }
    let verified = run(bursar().arg("verify").arg(data));
    if verified.code != Some(0) {
        return Err(format!("afterwards, verification fails: {verified:?}"));
    }
    Ok(())
}
