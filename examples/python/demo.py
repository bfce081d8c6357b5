"""Moves money on a Bursar server, and checks that every answer is the right one.

    python3 demo.py 127.0.0.1:7411

Exits with 0 if everything was as it should be. Can be run again and again against the same server: the asset and
the bank stay, every run has wallets and transfers of its own.
"""

from __future__ import annotations

import sys
import uuid
from typing import Any

from bursar_client import SYSTEM, UNLIMITED, Asset, BursarClient, BursarError, NewWallet, Transfer

ASSET = Asset(id=9001, code="DEMO", scale=2)
BANK = NewWallet(
    id=0xB0000000000000000000000000009001, asset=ASSET.id, owner=b"demo bank", flags=SYSTEM, overdraft_limit=UNLIMITED
)


def expect(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        sys.exit(f"{what}: found {found!r}, expected {expected!r}")
    print(f"  {what}: {found}")


def expect_one_of(what: str, found: Any, *expected: Any) -> None:
    expect(what, found, found if found in expected else expected)


def units(amount: int) -> str:
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    return f"{sign}{amount // 100}.{amount % 100:02}"


def demo(bursar: BursarClient) -> None:
    welcome = bursar.welcome
    print(f"connected to {welcome.server_name} {welcome.server_version}")
    expect("version", welcome.version, 1)

    print("an asset and three wallets")
    [outcome] = bursar.create_assets([ASSET])
    expect_one_of("asset", outcome.status, "created", "exists")
    alice, bob = uuid.uuid4(), uuid.uuid4()
    outcomes = bursar.create_wallets(
        [
            BANK,
            NewWallet(id=alice, asset=ASSET.id, owner=b"alice", metadata=b"demo"),
            NewWallet(id=bob, asset=ASSET.id, owner=b"bob", balance_max=10_000),
        ]
    )
    expect_one_of("bank", outcomes[0].status, "created", "exists")
    expect("others", [outcome.status for outcome in outcomes[1:]], ["created", "created"])

    print("a top-up of 100.00 from the bank, then the same again, then another amount under the same id")
    top_up = Transfer(uuid.uuid4(), BANK.id, alice, ASSET.id, 10_000, code=1, metadata=b"top-up")
    [first], [positions] = bursar.create_transfers_with_balances([top_up])
    expect("top-up", first.status, "created")
    expect("wallets told of", [position.wallet for position in positions], [BANK.id, alice.int])
    expect("balance told", (positions[1].balance, positions[1].available), (10_000, 10_000))
    expect("position is as of the transfer or later", positions[1].as_of_seq >= first.seq, True)
    [again] = bursar.create_transfers([top_up])
    expect("same id again", (again.status, again.replayed), ("exists", True))
    expect("with the first outcome", (again.seq, again.timestamp_ns), (first.seq, first.timestamp_ns))
    other = Transfer(top_up.id, BANK.id, alice, ASSET.id, 10_001, code=1, metadata=b"top-up")
    [outcome] = bursar.create_transfers([other])
    expect("same id, other amount", outcome.status, "exists_with_different_amount")

    print("payments, one of them too large, one to nobody, one without an amount")
    payment = Transfer(uuid.uuid4(), alice, bob, ASSET.id, 2_550, group_id=7)
    [outcome] = bursar.create_transfers([payment])
    expect("payment", outcome.status, "created")
    too_large = Transfer(uuid.uuid4(), alice, bob, ASSET.id, 9_999)
    to_nobody = Transfer(uuid.uuid4(), alice, uuid.uuid4(), ASSET.id, 1)
    without_amount = Transfer(uuid.uuid4(), alice, bob, ASSET.id, 0)
    outcomes = bursar.create_transfers([too_large, to_nobody, without_amount])
    expect(
        "refusals",
        [outcome.status for outcome in outcomes],
        ["insufficient_funds", "credit_wallet_not_found", "amount_must_not_be_zero"],
    )
    expect("what was lacking", outcomes[0].detail, {"available": 7_450, "required": 9_999})
    [outcome] = bursar.create_transfers([Transfer(uuid.uuid4(), BANK.id, bob, ASSET.id, 9_999)])
    expect("more than bob may hold", (outcome.status, outcome.detail), ("limit_exceeded", {"limit": 10_000}))

    print("a refusal stays, also when there is enough money in the meantime")
    [outcome] = bursar.create_transfers([Transfer(uuid.uuid4(), BANK.id, alice, ASSET.id, 10_000)])
    expect("another top-up", outcome.status, "created")
    [outcome] = bursar.create_transfers([too_large])
    expect("the refused id", (outcome.status, outcome.replayed), ("id_already_refused", True))
    expect("why", outcome.detail, {"first_status": "insufficient_funds"})

    print("what was done can be looked up")
    [done, refused, unknown] = bursar.lookup_transfers([payment.id, too_large.id, uuid.uuid4()])
    expect("the payment", done and (done.transfer.amount, done.outcome.status), (2_550, "created"))
    expect("its group", done and done.transfer.group_id, 7)
    expect("the refusal", refused and refused.outcome.status, "insufficient_funds")
    expect("an unknown id", unknown, None)
    [wallet, nobody] = bursar.lookup_wallets([alice, uuid.uuid4()])
    expect("alice's owner and metadata", wallet and (wallet.terms.owner, wallet.terms.metadata), (b"alice", b"demo"))
    expect("a wallet that does not exist", nobody, None)

    print("balances")
    [of_alice, of_bob, of_bank] = bursar.balances([alice, bob, BANK.id])
    expect("alice", of_alice and (of_alice.balance, of_alice.available), (17_450, 17_450))
    expect("bob", of_bob and (of_bob.balance, of_bob.available), (2_550, 2_550))
    expect("the bank has no limit", of_bank and of_bank.available, None)
    if of_bank:
        print(f"  the bank: {units(of_bank.balance)}")

    print("trial balance")
    trial_balance = bursar.trial_balance()
    for line in trial_balance.assets:
        totals = line.totals
        print(f"  {line.asset.code}: {line.wallets} wallets, {totals.debits_posted} = {totals.credits_posted}")
        expect("balanced", totals.debits_posted - totals.credits_posted, 0)
        expect("holds balanced", totals.debits_pending - totals.credits_pending, 0)
    expect("the asset is among them", ASSET in [line.asset for line in trial_balance.assets], True)

    print("ping")
    pong = bursar.ping()
    expect("everything is on disk", pong.durable_seq >= trial_balance.as_of_seq, True)


def main() -> None:
    if len(sys.argv) != 2 or ":" not in sys.argv[1]:
        sys.exit("usage: demo.py HOST:PORT")
    host, port = sys.argv[1].rsplit(":", 1)
    try:
        with BursarClient(host.strip("[]"), int(port)) as bursar:
            demo(bursar)
    except (OSError, BursarError) as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    print("everything is as it should be")


if __name__ == "__main__":
    main()
