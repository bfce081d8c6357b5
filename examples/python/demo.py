"""Moves money on a Bursar server, and checks that every answer is the right one.

    python3 demo.py 127.0.0.1:7411

Exits with 0 if everything was as it should be. Can be run again and again against the same server: the asset and
the bank stay, every run has wallets and transfers of its own.
"""

from __future__ import annotations

import sys
import uuid
from typing import Any, Callable, List

from bursar_client import (
    CLOSED,
    CREDIT_FROZEN,
    DEBIT_FROZEN,
    NEVER,
    SYSTEM,
    UNLIMITED,
    Asset,
    AtSeq,
    AtTime,
    BursarClient,
    BursarError,
    Event,
    FlagChange,
    Hold,
    Leg,
    Memo,
    Moved,
    NewWallet,
    NoAnswer,
    Pending,
    Post,
    Reversal,
    Transaction,
    Transfer,
    Void,
    WalletLimits,
    WalletMetadata,
)

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
    expect("the payment", done and (done.order.amount, done.outcome.status), (2_550, "created"))
    expect("its group", done and done.order.group_id, 7)
    expect("nothing of it was reversed", done and done.progress, Moved(2_550, 0))
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

    holds(bursar, alice, bob)
    reversals(bursar, payment, alice, bob)
    transactions(bursar, alice, bob)
    settings(bursar, alice, bob)
    past(bursar, alice, bob, first.seq, top_up)
    events(bursar, alice, bob, first.seq)

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


def holds(bursar: BursarClient, alice: uuid.UUID, bob: uuid.UUID) -> None:
    """Alice has 174.50 and bob 25.50 before it; she pays him 45.00 in it."""
    print("a hold of 50.00 counts at once; 30.00 of it is captured, and the rest released")
    hold = Pending(Transfer(uuid.uuid4(), alice, bob, ASSET.id, 5_000), timeout_s=3_600)
    [outcome], [positions] = bursar.create_pending_with_balances([hold])
    expect("hold", outcome.status, "created")
    expect("alice's balance, held and available", shown(positions[0]), (17_450, 5_000, 12_450))
    expect("to come to bob", positions[1].credits_pending, 5_000)
    [view] = bursar.lookup_transfers([hold.id])
    progress = view and view.progress
    expect("looked up, it is open", isinstance(progress, Hold) and progress.state, "open")
    expect("and expires an hour later", progress.expires_at_ns - outcome.timestamp_ns, 3_600 * 10**9)
    too_much = Post(uuid.uuid4(), hold.id, 5_001)
    [outcome] = bursar.post_pending([too_much])
    expect("more than is held", (outcome.status, outcome.detail), ("exceeds_pending_amount", {"left": 5_000}))
    capture = Post(uuid.uuid4(), hold.id, 3_000, Memo(code=2, metadata=b"shipped in part"))
    [outcome], [positions] = bursar.post_pending_with_balances([capture])
    expect("capture in part", outcome.status, "created")
    expect("alice's balance, held and available", shown(positions[0]), (14_450, 0, 14_450))
    [again] = bursar.post_pending([capture])
    expect("the same capture again", (again.status, again.seq), ("exists", outcome.seq))
    [outcome] = bursar.void_pending([Void(uuid.uuid4(), hold.id)])
    expect("a release after it", outcome.status, "pending_already_posted")

    print("a hold that never expires is captured in full, another one is released")
    whole, released = (Pending(Transfer(uuid.uuid4(), alice, bob, ASSET.id, 1_500)) for _ in range(2))
    outcomes = bursar.create_pending([whole, released])
    expect("two holds", [outcome.status for outcome in outcomes], ["created", "created"])
    [outcome] = bursar.post_pending([Post(uuid.uuid4(), whole.id)])
    expect("capture", outcome.status, "created")
    [outcome] = bursar.void_pending([Void(uuid.uuid4(), released.id)])
    expect("release", outcome.status, "created")
    views = bursar.lookup_transfers([whole.id, released.id, capture.id, too_much.id])
    ends = [view and getattr(view.progress, "state", None) for view in views[:2]]
    expect("how they have ended", ends, ["posted", "voided"])
    expect("when they would have expired", views[0] and views[0].progress.expires_at_ns, NEVER)
    expect("the notes on the capture", views[2] and views[2].order.memo, capture.memo)
    expect("what it has moved", views[2] and views[2].progress, Moved(3_000, 0))
    expect("the capture that was refused", views[3] and views[3].progress, None)
    [of_alice, of_bob] = bursar.balances([alice, bob])
    expect("alice and bob", (of_alice.balance, of_bob.balance), (12_950, 7_050))


def reversals(bursar: BursarClient, payment: Transfer, alice: uuid.UUID, bob: uuid.UUID) -> None:
    """Alice gets her payment of 25.50 back."""
    print("a payment is reversed, first in part, then the rest of it")
    part = Reversal(uuid.uuid4(), payment.id, 550)
    [outcome] = bursar.reverse([part])
    expect("in part", outcome.status, "created")
    [outcome] = bursar.reverse([Reversal(uuid.uuid4(), payment.id, 2_001)])
    expect("more than is left", (outcome.status, outcome.detail), ("exceeds_original_amount", {"left": 2_000}))
    [outcome], [positions] = bursar.reverse_with_balances([Reversal(uuid.uuid4(), payment.id)])
    expect("the rest", outcome.status, "created")
    expect("taken from bob, given to alice", [position.wallet for position in positions], [bob.int, alice.int])
    [outcome] = bursar.reverse([Reversal(uuid.uuid4(), payment.id)])
    expect("once more", outcome.status, "original_already_reversed")
    [original, view] = bursar.lookup_transfers([payment.id, part.id])
    expect("the payment was moved and moved back", original and original.progress, Moved(2_550, 2_550))
    expect("a reversal itself stays", view and view.progress, None)
    [of_alice, of_bob] = bursar.balances([alice, bob])
    expect("alice and bob", (of_alice.balance, of_bob.balance), (15_500, 4_500))


def transactions(bursar: BursarClient, alice: uuid.UUID, bob: uuid.UUID) -> None:
    """Alice pays 10.00, of which bob gets 9.00 and the bank a fee; all of it is reversed."""
    print("a purchase with a fee is one transaction")

    def purchase(amount: int, fee: int) -> Transaction:
        legs = [(alice, False, amount), (bob, True, amount - fee), (BANK.id, True, fee)]
        return Transaction(uuid.uuid4(), [Leg(wallet, is_credit, ASSET.id, part) for wallet, is_credit, part in legs])

    done = purchase(1_000, 100)
    [outcome], [positions] = bursar.create_transactions_with_balances([done])
    expect("purchase", outcome.status, "created")
    expect("alice gives, so she is first", (positions[0].wallet, positions[0].balance), (alice.int, 14_500))
    expect("three wallets took part", len(positions), 3)
    too_large, unbalanced = purchase(99_999, 9), Transaction(uuid.uuid4(), done.legs[:2])
    outcomes = bursar.create_transactions([too_large, unbalanced])
    expect("one that alice cannot pay", outcomes[0].status, "leg_refused")
    expect("which leg, and why", outcomes[0].detail, {"index": 0, "status": "insufficient_funds"})
    expect("one that does not balance", outcomes[1].status, "legs_do_not_balance")
    [outcome] = bursar.reverse([Reversal(uuid.uuid4(), done.id, 500)])
    expect("half of a transaction back", outcome.status, "transaction_reversed_in_full_only")
    [outcome] = bursar.reverse([Reversal(uuid.uuid4(), done.id)])
    expect("all of it", outcome.status, "created")
    [view] = bursar.lookup_transfers([done.id])
    expect("looked up", view and (len(view.order.legs), view.progress), (3, Moved(1, 1)))
    [of_alice, of_bob] = bursar.balances([alice, bob])
    expect("alice and bob", (of_alice.balance, of_bob.balance), (15_500, 4_500))


def settings(bursar: BursarClient, alice: uuid.UUID, bob: uuid.UUID) -> None:
    """Freezes alice and lets her go, gives her credit, and closes bob's wallet."""
    print("a frozen wallet takes nothing new, but what was held before goes through")
    hold = Pending(Transfer(uuid.uuid4(), alice, bob, ASSET.id, 500))
    [outcome] = bursar.create_pending([hold])
    expect("hold", outcome.status, "created")
    freeze = FlagChange(alice, set=DEBIT_FROZEN | CREDIT_FROZEN)
    [frozen] = bursar.set_flags([freeze])
    expect("freeze", frozen.status, "created")
    [outcome] = bursar.set_flags([freeze])
    expect("frozen already, as its newest entry says", (outcome.status, outcome.seq), ("exists", frozen.seq))
    outcomes = bursar.create_transfers(
        [Transfer(uuid.uuid4(), alice, bob, ASSET.id, 1), Transfer(uuid.uuid4(), BANK.id, alice, ASSET.id, 1)]
    )
    expect("from and to her", [o.status for o in outcomes], ["debit_wallet_frozen", "credit_wallet_frozen"])
    [outcome] = bursar.post_pending([Post(uuid.uuid4(), hold.id)])
    expect("the capture", outcome.status, "created")
    [outcome] = bursar.set_flags([FlagChange(alice, clear=DEBIT_FROZEN | CREDIT_FROZEN)])
    expect("unfreeze", outcome.status, "created")

    print("limits and metadata")
    [outcome] = bursar.set_limits([WalletLimits(alice, overdraft_limit=2_000, balance_max=50_000)])
    expect("limits", outcome.status, "created")
    [outcome] = bursar.set_metadata([WalletMetadata(alice, b"gold")])
    expect("metadata", outcome.status, "created")
    [view] = bursar.lookup_wallets([alice])
    terms = view and view.terms
    expect("the limits now", terms and (terms.overdraft_limit, terms.balance_max), (2_000, 50_000))
    expect("the metadata now", terms and terms.metadata, b"gold")
    expect("the credit can be spent", view and view.available, 15_000 + 2_000)

    print("a wallet is closed when nothing is left in it")
    close = FlagChange(bob, set=CLOSED)
    [outcome] = bursar.set_flags([close])
    expect("with a balance", outcome.status, "balance_not_zero")
    [outcome] = bursar.create_transfers([Transfer(uuid.uuid4(), bob, BANK.id, ASSET.id, 5_000)])
    expect("paid out", outcome.status, "created")
    [outcome] = bursar.set_flags([close])
    expect("without", outcome.status, "created")
    [outcome] = bursar.create_transfers([Transfer(uuid.uuid4(), alice, bob, ASSET.id, 1)])
    expect("a payment to it", outcome.status, "credit_wallet_closed")
    [outcome] = bursar.set_flags([FlagChange(uuid.uuid4(), set=CLOSED)])
    expect("a wallet that does not exist", outcome.status, "wallet_not_found")


def past(bursar: BursarClient, alice: uuid.UUID, bob: uuid.UUID, first_seq: int, top_up: Transfer) -> None:
    """Asks for what all of it has left behind."""
    print("balances at a moment")
    as_of_seq, [of_alice, of_bob] = bursar.balances_at(AtSeq(first_seq), [alice, bob])
    expect("as of the top-up", (as_of_seq, of_alice.credits_posted, of_bob.credits_posted), (first_seq, 10_000, 0))
    before, [of_alice] = bursar.balances_at(AtSeq(first_seq - 1), [alice])
    expect("just before it", (before, of_alice.credits_posted), (first_seq - 1, 0))
    as_of_seq, [nobody] = bursar.balances_at(AtTime(bursar.ping().timestamp_ns), [uuid.uuid4()])
    expect("now, of a wallet that does not exist", (as_of_seq >= first_seq, nobody), (True, None))
    expect("tomorrow", refused(lambda: bursar.balances_at(AtTime(2**63), [alice])), "moment_in_the_future")

    print("alice's statement")
    pages = list(bursar.statement_pages(alice, limit=7))
    rows = [row for page in pages for row in page.rows]
    expect("the first row is the top-up", (rows[0].id, rows[0].counterparty), (top_up.id.int, BANK.id))
    expect("no page is too long", max(len(page.rows) for page in pages), 7)
    opening, closing = pages[0].opening, pages[0].closing
    total = sum(row.credits - row.debits for row in rows)
    balance = closing.credits_posted - closing.debits_posted
    expect("opening + rows = closing", opening.credits_posted - opening.debits_posted + total, balance)
    [of_alice] = bursar.balances([alice])
    expect("closing is what she has", balance, of_alice.balance)
    newest = bursar.statement(alice, newest_first=True, limit=1)
    expect("newest first", newest.rows[0].id, rows[-1].id)
    other = refused(lambda: bursar.statement(alice, limit=1, cursor=newest.next))
    expect("its cursor, oldest first", other, "cursor_of_another_query")
    posts = [row.kind for page in bursar.statement_pages(alice, kind="post") for row in page.rows]
    expect("only captures", posts, ["post"] * 3)
    expect("nobody's statement", refused(lambda: bursar.statement(uuid.uuid4())), "wallet_not_found")

    print("open holds, and wallets by owner")
    [outcome] = bursar.create_pending([Pending(Transfer(uuid.uuid4(), BANK.id, alice, ASSET.id, 5))])
    expect("hold", outcome.status, "created")
    _, [hold], more = bursar.list_pending(alice)
    expect("it is for her", (hold.is_credit, hold.amount, hold.expires_at_ns, more), (True, 5, NEVER, None))
    owner = alice.bytes
    [outcome] = bursar.create_wallets([NewWallet(id=uuid.uuid4(), asset=ASSET.id, owner=owner, code=5)])
    _, wallets, more = bursar.list_wallets(owner=owner, code=5)
    expect("listed", ([wallet.terms.owner for wallet in wallets], more), ([owner], None))

    print("records of the journal")
    durable_seq, records = bursar.read_records(first_seq, 1)
    record = records[0]
    count, first = int.from_bytes(record[4:8], "little"), int.from_bytes(record[8:16], "little")
    expect("one of them, which holds the top-up", (len(records), first <= first_seq < first + count), (1, True))
    expect("nothing behind the end", bursar.read_records(durable_seq + 1)[1], [])


def events(bursar: BursarClient, alice: uuid.UUID, bob: uuid.UUID, first_seq: int) -> None:
    """Follows what has been done to bob, and what is being done."""
    print("events")
    durable_seq = bursar.ping().durable_seq
    host, port = bursar.socket.getpeername()[:2]
    with BursarClient(host, port) as connection:
        subscription = connection.subscribe(first_seq, wallets=[bob], credit=10)
        told: List[Event] = [event for event in subscription.until(durable_seq) if event.seq <= durable_seq]
        added = [movement.position for event in told for movement in event.movements if movement.wallet == bob.int]
        debits, credits = sum(part.debits_posted for part in added), sum(part.credits_posted for part in added)
        [of_bob] = bursar.balances([bob])
        expect("added up, they are his counters", (debits, credits), (of_bob.position.debits_posted, of_bob.position.credits_posted))
        pending = sum(part.credits_pending for part in added), sum(part.debits_pending for part in added)
        expect("nothing is held any more", pending, (0, 0))
        refusals = [event for event in told if event.kind == "order_refused"]
        expect("what was refused is told, too", refusals[0].outcome.status, "insufficient_funds")
        closed = [event.changed for event in told if event.kind == "wallet_changed"]
        expect("and that he was closed", closed[-1], (bob.int, {"set": CLOSED, "clear": 0}))

        [outcome] = bursar.set_metadata([WalletMetadata(bob, b"gone")])
        event = next(iter(subscription))
        expect("what is new comes by itself", (event.seq, event.changed), (outcome.seq, (bob.int, {"metadata": b"gone"})))
        expect("it ends where it is", subscription.end() >= outcome.seq, True)
        expect("and its connection is free again", connection.ping().durable_seq >= outcome.seq, True)
        future = refused(lambda: connection.subscribe(2**63))
        expect("a place that there is not yet", future, "moment_in_the_future")


def refused(ask: Callable[[], Any]) -> str:
    try:
        return f"answered {ask()}"
    except NoAnswer as error:
        return error.status


def shown(position: Any) -> Any:
    return position.balance, position.debits_pending, position.available


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
