//! `bursar events`: one line for each entry, so that it can be piped and followed.

use super::transfer::{order_fields, side_name};
use super::wallet::{overdraft_text, owner_text, with_terms};
use super::{bytes_text, connect, outcome_json, report_refusal, time};
use crate::command_line::EventsArguments;
use client::{Event, EventFilter, Happening, Movement, PositionChange};
use ledger::{Order, Setting, Side, WalletFlags};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::process::ExitCode;

/// Runs it. Ends with what is durable now, or with `--follow` when it is interrupted.
pub async fn run(arguments: EventsArguments) -> anyhow::Result<ExitCode> {
    let EventsArguments { from_seq, wallets, kinds, code, follow, client: flags } = arguments;
    let client = connect(&flags).await?;
    let from_seq = from_seq.or((!follow).then_some(1));
    let last_seq = if follow { u64::MAX } else { client.ping().await?.durable_seq };
    let mut subscription = client.subscribe(from_seq, EventFilter { wallets, kinds, code });
    loop {
        let next = subscription.next_until(last_seq).await;
        let from = from_seq.map_or_else(|| "now".to_owned(), |seq| seq.to_string());
        let event = match report_refusal("from", &from, next, &flags)? {
            Ok(Some(event)) => event,
            Ok(None) => return Ok(ExitCode::SUCCESS),
            Err(refused) => return Ok(refused),
        };
        let line = if flags.json { event_json(&event).to_string() } else { event_line(&event) };
        // A reader that has gone away (`| head`) wants no more.
        match writeln!(io::stdout(), "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            written => written?,
        }
    }
}

fn event_line(event: &Event) -> String {
    let what = match &event.what {
        Happening::OrderDone { order, movements, .. } => {
            format!("{} {}", order.id(), movements_text(movements))
        }
        Happening::OrderRefused { order, outcome } => {
            format!("{} {}: {}", order.id(), order.kind(), outcome.status)
        }
        Happening::HoldExpired { pending_id, movements } => {
            format!("{pending_id} {}", movements_text(movements))
        }
        Happening::AssetCreated(asset) => format!("{} {} (scale {})", asset.id, asset.code, asset.scale),
        Happening::WalletCreated(terms) => {
            format!("{} of {} in asset {}", terms.id, owner_text(&terms.owner), terms.asset)
        }
        Happening::ImportClosed(import) => format!("import {import}"),
        Happening::WalletChanged(change) => format!("{} {}", change.wallet, setting_text(&change.setting)),
    };
    format!("{} {} {} {what}", event.seq, time(event.timestamp_ns), event.kind())
}

/// What is done to each wallet, such as `ada -100, ben +100`.
fn movements_text(movements: &[Movement]) -> String {
    let texts: Vec<String> = movements
        .iter()
        .map(|movement| format!("{} {}", movement.wallet, change_text(&movement.change)))
        .collect();
    texts.join(", ")
}

fn change_text(change: &PositionChange) -> String {
    let sign = |side| if side == Side::Debit { '-' } else { '+' };
    match *change {
        PositionChange::Moved { debits, credits: 0 } => format!("-{debits}"),
        PositionChange::Moved { debits: 0, credits } => format!("+{credits}"),
        PositionChange::Moved { debits, credits } => format!("-{debits} +{credits}"),
        PositionChange::Held { side, amount } => format!("held {}{amount}", sign(side)),
        PositionChange::Resolved { side, held, captured: 0 } => format!("released {}{held}", sign(side)),
        PositionChange::Resolved { side, held, captured } => {
            format!("captured {}{captured} of {held}", sign(side))
        }
    }
}

fn setting_text(setting: &Setting) -> String {
    let names = |flags: &WalletFlags| flags.names().collect::<Vec<_>>().join(", ");
    match setting {
        Setting::Limits { overdraft_limit, balance_max } => {
            format!("overdraft limit {}, balance max {balance_max}", overdraft_text(*overdraft_limit))
        }
        Setting::Flags { set, clear } => match (set.is_empty(), clear.is_empty()) {
            (false, true) => format!("set {}", names(set)),
            (true, false) => format!("cleared {}", names(clear)),
            _ => format!("set {}; cleared {}", names(set), names(clear)),
        },
        Setting::Metadata(metadata) => format!("metadata {}", bytes_text(metadata)),
    }
}

pub(super) fn event_json(event: &Event) -> Value {
    let mut fields = Map::new();
    fields.insert("seq".to_owned(), event.seq.into());
    fields.insert("timestamp_ns".to_owned(), event.timestamp_ns.to_string().into());
    fields.insert("kind".to_owned(), event.kind().name().into());
    let own = match &event.what {
        Happening::OrderDone { order, outcome, movements } => json!({
            "order": order_fields(order),
            "outcome": outcome_json(outcome),
            "movements": movements_json(movements),
        }),
        Happening::HoldExpired { pending_id, movements } => {
            json!({ "pending_id": pending_id.to_string(), "movements": movements_json(movements) })
        }
        _ => event_details(event).expect("it says everything"),
    };
    if let Value::Object(own) = own {
        fields.extend(own);
    }
    Value::Object(fields)
}

/// What is not told by an order's id, status and notes, nor by what it moves. `None` if there is nothing else to tell.
pub(super) fn event_details(event: &Event) -> Option<Value> {
    Some(match &event.what {
        Happening::OrderDone { order: Order::Pending(pending), .. } if pending.timeout_s > 0 => {
            json!({ "timeout_s": pending.timeout_s })
        }
        Happening::OrderDone { .. } | Happening::HoldExpired { .. } => return None,
        Happening::OrderRefused { order, outcome } => {
            json!({ "order": order_fields(order), "outcome": outcome_json(outcome) })
        }
        Happening::AssetCreated(asset) => {
            json!({ "asset": { "id": asset.id.0, "code": asset.code.as_str(), "scale": asset.scale } })
        }
        Happening::WalletCreated(terms) => {
            let metadata = bytes_text(&terms.metadata);
            json!({ "wallet": with_terms(terms, json!({ "metadata": metadata })) })
        }
        Happening::ImportClosed(import) => json!({ "import": import.to_string() }),
        Happening::WalletChanged(change) => {
            json!({ "wallet": change.wallet.to_string(), "setting": setting_json(&change.setting) })
        }
    })
}

fn movements_json(movements: &[Movement]) -> Vec<Value> {
    let movement = |movement: &Movement| {
        let mut fields = match movement.change {
            PositionChange::Moved { debits, credits } => {
                json!({ "debits": debits.to_string(), "credits": credits.to_string() })
            }
            PositionChange::Held { side, amount } => {
                json!({ "side": side_name(side), "held": amount.to_string() })
            }
            PositionChange::Resolved { side, held, captured } => json!({
                "side": side_name(side),
                "released": held.saturating_sub(captured).to_string(),
                "captured": captured.to_string(),
            }),
        };
        fields["wallet"] = movement.wallet.to_string().into();
        fields["asset"] = movement.asset.0.into();
        fields
    };
    movements.iter().map(movement).collect()
}

fn setting_json(setting: &Setting) -> Value {
    match setting {
        Setting::Limits { overdraft_limit, balance_max } => json!({
            "overdraft_limit": overdraft_text(*overdraft_limit),
            "balance_max": balance_max.to_string(),
        }),
        Setting::Flags { set, clear } => json!({
            "set": set.names().collect::<Vec<_>>(),
            "clear": clear.names().collect::<Vec<_>>(),
        }),
        Setting::Metadata(metadata) => json!({ "metadata": bytes_text(metadata) }),
    }
}
