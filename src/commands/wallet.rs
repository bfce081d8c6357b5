//! `bursar wallet`.

use super::{
    align_right, available, bytes_text, connect, exit_code, facts, outcome_json, outcome_rows, position_json,
    print, print_json, report_refusal, statement, table, time, wallet_list,
};
use crate::command_line::{ClientFlags, FrozenSides, WalletCommand};
use anyhow::Context;
use client::{ClientError, FlagChange, Moment, PositionsAt, WalletLimits, WalletMetadata, WalletView};
use ledger::{AssetId, ImportId, NewWallet, Outcome, OverdraftLimit, Owner, Position, WalletFlags, WalletId};
use serde_json::{Value, json};
use std::process::ExitCode;
use uuid::Uuid;

/// Runs it.
pub async fn run(command: WalletCommand) -> anyhow::Result<ExitCode> {
    match command {
        WalletCommand::Create {
            id,
            asset,
            owner,
            code,
            system,
            debit_frozen,
            credit_frozen,
            overdraft_limit,
            balance_max,
            metadata,
            client,
        } => {
            let flags = [
                (system, WalletFlags::SYSTEM),
                (debit_frozen, WalletFlags::DEBIT_FROZEN),
                (credit_frozen, WalletFlags::CREDIT_FROZEN),
            ];
            let wallet = NewWallet {
                id: id.unwrap_or_else(|| WalletId(Uuid::now_v7().as_u128())),
                owner: parse_owner(&owner),
                asset: AssetId(asset),
                code,
                flags: flags
                    .iter()
                    .filter(|(set, _)| *set)
                    .fold(WalletFlags::default(), |all, (_, flag)| all.with(*flag)),
                overdraft_limit: parse_overdraft_limit(&overdraft_limit).map_err(anyhow::Error::msg)?,
                balance_max,
                metadata: metadata.into_bytes().into(),
                import: ImportId::NONE,
            };
            create(wallet, &client).await
        }
        WalletCommand::Show { ids, client } => show(&ids, &client).await,
        WalletCommand::List { owner, code, flags, count, client } => {
            let flags = flags.into_iter().fold(WalletFlags::default(), WalletFlags::with);
            let owner = owner.as_deref().map(parse_owner);
            wallet_list::run(owner, code, flags, count, &client).await
        }
        WalletCommand::Balance { ids, at, at_seq, client } => {
            let moment = at.map(Moment::TimestampNs).or(at_seq.map(Moment::Seq));
            balance(&ids, moment, &client).await
        }
        WalletCommand::Statement(arguments) => statement::run(arguments).await,
        WalletCommand::SetLimits { id, overdraft_limit, balance_max, client: flags } => {
            let overdraft_limit = parse_overdraft_limit(&overdraft_limit).map_err(anyhow::Error::msg)?;
            let client = connect(&flags).await?;
            let limits = WalletLimits { wallet: id, overdraft_limit, balance_max };
            report_change(id, client.set_limits(&[limits]).await, &flags)
        }
        WalletCommand::Freeze { id, sides, client } => {
            change_flags(id, frozen(sides), WalletFlags::default(), &client).await
        }
        WalletCommand::Unfreeze { id, sides, client } => {
            change_flags(id, WalletFlags::default(), frozen(sides), &client).await
        }
        WalletCommand::Close { id, client } => {
            change_flags(id, WalletFlags::CLOSED, WalletFlags::default(), &client).await
        }
        WalletCommand::Reopen { id, client } => {
            change_flags(id, WalletFlags::default(), WalletFlags::CLOSED, &client).await
        }
        WalletCommand::SetMetadata { id, metadata, client: flags } => {
            let client = connect(&flags).await?;
            let metadata = WalletMetadata { wallet: id, metadata: metadata.into_bytes().into() };
            report_change(id, client.set_metadata(&[metadata]).await, &flags)
        }
    }
}

/// The flags of the sides that were named; both if none was.
fn frozen(sides: FrozenSides) -> WalletFlags {
    match sides {
        FrozenSides { debits: true, credits: false } => WalletFlags::DEBIT_FROZEN,
        FrozenSides { debits: false, credits: true } => WalletFlags::CREDIT_FROZEN,
        _ => WalletFlags::DEBIT_FROZEN.with(WalletFlags::CREDIT_FROZEN),
    }
}

async fn change_flags(
    wallet: WalletId,
    set: WalletFlags,
    clear: WalletFlags,
    flags: &ClientFlags,
) -> anyhow::Result<ExitCode> {
    let client = connect(flags).await?;
    report_change(wallet, client.set_flags(&[FlagChange { wallet, set, clear }]).await, flags)
}

/// Prints what a creation or a change of the wallet `id` was answered.
fn report_change(
    id: WalletId,
    outcomes: Result<Vec<Outcome>, ClientError>,
    flags: &ClientFlags,
) -> anyhow::Result<ExitCode> {
    let outcomes = outcomes?;
    let outcome = outcomes.first().context("the server gave no outcome")?;
    if flags.json {
        print_json(&json!({ "id": id.to_string(), "outcome": outcome_json(outcome) }))?;
    } else {
        let mut rows = vec![("wallet", id.to_string())];
        rows.extend(outcome_rows(outcome));
        print(&facts(&rows).to_string())?;
    }
    Ok(exit_code(outcome))
}

async fn create(wallet: NewWallet, flags: &ClientFlags) -> anyhow::Result<ExitCode> {
    let client = connect(flags).await?;
    let id = wallet.id;
    report_change(id, client.create_wallets(&[wallet]).await, flags)
}

async fn show(ids: &[WalletId], flags: &ClientFlags) -> anyhow::Result<ExitCode> {
    let client = connect(flags).await?;
    let views = client.lookup_wallets(ids).await?;
    let missing = views.iter().any(Option::is_none);
    if flags.json {
        let wallets: Vec<Value> =
            views.iter().map(|view| view.as_ref().map_or(Value::Null, view_json)).collect();
        print_json(&Value::Array(wallets))?;
    } else {
        for (index, (id, view)) in ids.iter().zip(&views).enumerate() {
            if index > 0 {
                print("")?;
            }
            match view {
                Some(view) => print(&facts(&view_rows(view)).to_string())?,
                None => print(
                    &facts(&[("wallet", id.to_string()), ("status", "not found".to_owned())]).to_string(),
                )?,
            }
        }
    }
    Ok(if missing { ExitCode::from(super::REFUSED) } else { ExitCode::SUCCESS })
}

async fn balance(ids: &[WalletId], moment: Option<Moment>, flags: &ClientFlags) -> anyhow::Result<ExitCode> {
    let client = connect(flags).await?;
    let Some(at) = moment else {
        let views = client.balances(ids).await?;
        // Each is as of its own entry; all of them are at least as of the oldest.
        let as_of_seq = views.iter().flatten().map(|view| view.as_of_seq).min().unwrap_or_default();
        let positions = views.iter().map(|view| view.as_ref().map(|view| view.position)).collect();
        return report_balances(ids, &PositionsAt { as_of_seq, positions }, flags);
    };
    let (name, of) = match at {
        Moment::Seq(seq) => ("entry", seq.to_string()),
        Moment::TimestampNs(timestamp_ns) => ("time", time(timestamp_ns)),
    };
    match report_refusal(name, &of, client.balances_at(at, ids).await, flags)? {
        Ok(answer) => report_balances(ids, &answer, flags),
        Err(refused) => Ok(refused),
    }
}

fn report_balances(ids: &[WalletId], answer: &PositionsAt, flags: &ClientFlags) -> anyhow::Result<ExitCode> {
    let PositionsAt { as_of_seq, positions } = answer;
    let missing = positions.iter().any(Option::is_none);
    if flags.json {
        let wallets = ids.iter().zip(positions).map(|(id, position)| {
            let position = position.as_ref().map_or(Value::Null, position_json);
            json!({ "id": id.to_string(), "position": position })
        });
        let wallets: Vec<Value> = wallets.collect();
        print_json(&json!({ "as_of_seq": as_of_seq, "wallets": wallets }))?;
    } else {
        let header =
            ["wallet", "balance", "debits posted", "credits posted", "debits pending", "credits pending"];
        let mut table = table(&header);
        for (id, position) in ids.iter().zip(positions) {
            let counters = position.as_ref().map_or_else(not_there, counters);
            table.add_row(std::iter::once(id.to_string()).chain(counters));
        }
        align_right(&mut table, 1..header.len());
        print(&format!("{table}\nas of entry {as_of_seq}"))?;
    }
    Ok(if missing { ExitCode::from(super::REFUSED) } else { ExitCode::SUCCESS })
}

fn counters(position: &Position) -> [String; 5] {
    let Position { debits_pending, debits_posted, credits_pending, credits_posted } = position;
    [
        position.balance().to_string(),
        debits_posted.to_string(),
        credits_posted.to_string(),
        debits_pending.to_string(),
        credits_pending.to_string(),
    ]
}

fn not_there() -> [String; 5] {
    ["not found", "", "", "", ""].map(str::to_owned)
}

fn view_rows(view: &WalletView) -> Vec<(&'static str, String)> {
    let WalletView { terms, position, version, last_seq, created_at_ns, as_of_seq, .. } = view;
    let flags: Vec<&str> = terms.flags.names().collect();
    let mut rows = vec![
        ("wallet", terms.id.to_string()),
        ("owner", owner_text(&terms.owner)),
        ("asset", terms.asset.to_string()),
        ("code", terms.code.to_string()),
        ("flags", if flags.is_empty() { "none".to_owned() } else { flags.join(", ") }),
        ("overdraft limit", overdraft_text(terms.overdraft_limit)),
        (
            "balance max",
            if terms.balance_max == 0 { "none".to_owned() } else { terms.balance_max.to_string() },
        ),
        ("balance", position.balance().to_string()),
        ("available", available(view.available)),
        ("debits posted", position.debits_posted.to_string()),
        ("credits posted", position.credits_posted.to_string()),
        ("debits pending", position.debits_pending.to_string()),
        ("credits pending", position.credits_pending.to_string()),
        ("version", version.to_string()),
        ("last entry", last_seq.to_string()),
        ("created", time(*created_at_ns)),
        ("as of entry", as_of_seq.to_string()),
    ];
    if !terms.metadata.is_empty() {
        rows.push(("metadata", bytes_text(&terms.metadata)));
    }
    rows
}

fn view_json(view: &WalletView) -> Value {
    let WalletView { terms, position, version, last_seq, created_seq, created_at_ns, as_of_seq, .. } = view;
    with_terms(
        terms,
        json!({
            "balance": position.balance().to_string(),
            "available": available(view.available),
            "debits_pending": position.debits_pending.to_string(),
            "debits_posted": position.debits_posted.to_string(),
            "credits_pending": position.credits_pending.to_string(),
            "credits_posted": position.credits_posted.to_string(),
            "version": version,
            "last_seq": last_seq,
            "created_seq": created_seq,
            "created_at_ns": created_at_ns.to_string(),
            "metadata": bytes_text(&terms.metadata),
            "as_of_seq": as_of_seq,
        }),
    )
}

/// A UUID or an integer is a number; anything else is taken as it is.
pub(super) fn parse_owner(text: &str) -> Owner {
    match text.parse::<WalletId>() {
        Ok(id) => Owner::Number(id.0),
        Err(_) => Owner::Bytes(text.as_bytes().into()),
    }
}

/// What a wallet was created with, but for its metadata, and more about it.
pub(super) fn with_terms(terms: &NewWallet, more: Value) -> Value {
    let mut fields = json!({
        "id": terms.id.to_string(),
        "owner": owner_text(&terms.owner),
        "asset": terms.asset.0,
        "code": terms.code,
        "flags": terms.flags.names().collect::<Vec<_>>(),
        "overdraft_limit": overdraft_text(terms.overdraft_limit),
        "balance_max": terms.balance_max.to_string(),
    });
    if terms.import != ImportId::NONE {
        fields["import"] = terms.import.to_string().into();
    }
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more);
    }
    fields
}

pub(super) fn owner_text(owner: &Owner) -> String {
    match owner {
        Owner::Number(0) => "none".to_owned(),
        Owner::Number(number) => WalletId(*number).to_string(),
        Owner::Bytes(bytes) => bytes_text(bytes),
    }
}

pub(super) fn parse_overdraft_limit(text: &str) -> Result<OverdraftLimit, String> {
    if text == "unlimited" {
        return Ok(OverdraftLimit::Unlimited);
    }
    let limit = text.parse().map(OverdraftLimit::Limited);
    limit.map_err(|_| format!("an overdraft limit is an integer or `unlimited`, not `{text}`"))
}

pub(super) fn overdraft_text(limit: OverdraftLimit) -> String {
    match limit {
        OverdraftLimit::Limited(limit) => limit.to_string(),
        OverdraftLimit::Unlimited => "unlimited".to_owned(),
    }
}
