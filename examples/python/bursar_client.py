"""A client for the Bursar ledger server: Python 3.9 or newer, standard library only.

Written from docs/PROTOCOL.md. It makes one request at a time over one connection; it neither pipelines nor
reconnects. What it is good for is to show the protocol, and for scripts. A subscription takes a connection for itself.

    with BursarClient("127.0.0.1", 7411) as bursar:
        print(bursar.ping())
"""

from __future__ import annotations

import socket
import struct
import uuid
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, TypeVar, Union

MAGIC = b"BR"
VERSION = 1
HEADER_LENGTH = 16
HELLO_FRAME_MAX = 1024
FRAME_HARD_MAX = 16 * 1024 * 1024

HELLO = 1
CREATE_ASSETS = 2
CREATE_WALLETS = 3
LOOKUP_WALLETS = 4
CREATE_TRANSFERS = 5
LOOKUP_TRANSFERS = 6
BALANCES = 7
TRIAL_BALANCE = 8
PING = 9
CREATE_PENDING = 10
POST_PENDING = 11
VOID_PENDING = 12
REVERSE = 13
CREATE_TRANSACTIONS = 14
SET_LIMITS = 15
SET_FLAGS = 16
SET_METADATA = 17
BALANCES_AT = 18
STATEMENT = 19
LIST_PENDING = 20
LIST_WALLETS = 21
READ_RECORDS = 22
SUBSCRIBE = 23
MORE_EVENTS = 24
UNSUBSCRIBE = 25
CLOSE_IMPORTS = 26
ERROR = 255

DEBIT_FROZEN = 1
CREDIT_FROZEN = 2
CLOSED = 4
SYSTEM = 8

UNLIMITED = None
"""As an overdraft limit: the wallet may go below zero without limit."""

STATUS_NAMES = {
    0: "created",
    20: "deadline_exceeded",
    40: "id_must_not_be_zero",
    41: "amount_must_not_be_zero",
    42: "amount_too_large",
    43: "wallets_must_differ",
    44: "reserved_flag",
    45: "limit_too_large",
    46: "owner_too_large",
    47: "metadata_too_large",
    48: "asset_scale_too_large",
    49: "asset_code_invalid",
    50: "too_few_legs",
    51: "too_many_legs",
    52: "wallet_in_two_assets",
    53: "legs_do_not_balance",
    54: "reference_must_not_be_zero",
    55: "refers_to_itself",
    56: "flag_set_and_cleared",
    57: "cursor_of_another_query",
    58: "moment_in_the_future",
    80: "exists",
    81: "exists_with_different_debit_wallet",
    82: "exists_with_different_credit_wallet",
    83: "exists_with_different_asset",
    84: "exists_with_different_amount",
    85: "exists_with_different_group_id",
    86: "exists_with_different_code",
    87: "exists_with_different_effective_at",
    88: "exists_with_different_metadata",
    89: "exists_with_different_owner",
    90: "exists_with_different_flags",
    91: "exists_with_different_overdraft_limit",
    92: "exists_with_different_balance_max",
    93: "exists_with_different_scale",
    94: "exists_with_different_kind",
    95: "exists_with_different_pending_id",
    96: "exists_with_different_reverses_id",
    97: "exists_with_different_timeout",
    98: "exists_with_different_legs",
    99: "id_already_refused",
    100: "pending_not_found",
    101: "not_pending",
    102: "pending_already_posted",
    103: "pending_already_voided",
    104: "pending_expired",
    105: "exceeds_pending_amount",
    110: "original_not_found",
    111: "original_not_reversible",
    112: "original_already_reversed",
    113: "transaction_reversed_in_full_only",
    114: "exceeds_original_amount",
    150: "asset_not_found",
    151: "wallet_not_found",
    152: "balance_not_zero",
    153: "holds_are_open",
    154: "import_is_closed",
    155: "exists_with_different_import",
    200: "debit_wallet_not_found",
    201: "debit_wallet_asset_mismatch",
    202: "debit_wallet_closed",
    203: "debit_wallet_frozen",
    204: "debit_wallet_overflow",
    205: "insufficient_funds",
    220: "credit_wallet_not_found",
    221: "credit_wallet_asset_mismatch",
    222: "credit_wallet_closed",
    223: "credit_wallet_frozen",
    224: "credit_wallet_overflow",
    225: "limit_exceeded",
    240: "leg_refused",
    300: "contended",
    301: "wallet_quarantined",
    302: "unavailable",
    303: "internal_error",
    304: "wallet_importing",
}

ERROR_NAMES = {
    1: "malformed",
    2: "unsupported_version",
    3: "unknown_message",
    4: "unauthenticated",
    5: "not_authorized",
    6: "too_large",
    7: "too_many_operations",
    8: "reply_too_large",
    9: "overloaded",
    10: "read_only",
    11: "disk_full",
    12: "unavailable",
    13: "shutting_down",
    14: "deadline_exceeded",
    15: "internal_error",
    16: "timed_out",
    17: "too_many_connections",
    18: "unknown_subscription",
    19: "too_many_subscriptions",
}

EVENT_KINDS = {
    1: "transfer",
    2: "pending",
    3: "post",
    4: "void",
    5: "expire",
    6: "reversal",
    7: "transaction",
    100: "asset_created",
    101: "wallet_created",
    102: "wallet_changed",
    103: "order_refused",
    104: "import_closed",
}
"""The first seven are also the kinds of orders."""

HOLD_STATES = ["open", "posted", "voided", "expired"]

NEVER = 2**64 - 1
"""As the time at which a hold expires."""

NOW = 2**64 - 1
"""As the time up to which a statement goes."""

Id = Union[int, uuid.UUID]
T = TypeVar("T")


class BursarError(Exception):
    """Anything that keeps a call from being answered. After it, a write may have been done or not."""


class ProtocolError(BursarError):
    """The server sent something that the protocol does not allow."""


class Refused(BursarError):
    """An error frame: the request as a whole, or the connection, was refused."""

    def __init__(self, code: int, text: str, retry_after_ms: int) -> None:
        self.code = code
        self.name = ERROR_NAMES.get(code, f"error {code}")
        self.text = text
        self.retry_after_ms = retry_after_ms
        super().__init__(f"{self.name}: {text}")


class NoAnswer(BursarError):
    """A question about the past has no answer as it was asked; `status` says why."""

    def __init__(self, status: str) -> None:
        self.status = status
        super().__init__(status)


@dataclass(frozen=True)
class Asset:
    id: int
    code: str
    scale: int


@dataclass(frozen=True)
class NewWallet:
    id: Id
    asset: int
    owner: Union[Id, bytes] = 0
    code: int = 0
    flags: int = 0
    overdraft_limit: Optional[int] = 0
    balance_max: int = 0
    metadata: bytes = b""
    import_id: Id = 0


@dataclass(frozen=True)
class Transfer:
    id: Id
    debit_wallet: Id
    credit_wallet: Id
    asset: int
    amount: int
    group_id: Id = 0
    code: int = 0
    effective_at_ns: int = 0
    metadata: bytes = b""


@dataclass(frozen=True)
class Memo:
    """Your notes on an order; those of a transfer stand in the transfer itself."""

    group_id: Id = 0
    code: int = 0
    effective_at_ns: int = 0
    metadata: bytes = b""


@dataclass(frozen=True)
class Pending:
    """A hold. It expires `timeout_s` seconds after it was made; 0 for never."""

    transfer: Transfer
    timeout_s: int = 0

    @property
    def id(self) -> Id:
        return self.transfer.id


@dataclass(frozen=True)
class Post:
    """Captures a hold: `amount` of it, or all of it with 0. The rest is released."""

    id: Id
    pending_id: Id
    amount: int = 0
    memo: Memo = Memo()


@dataclass(frozen=True)
class Void:
    """Releases a hold."""

    id: Id
    pending_id: Id
    memo: Memo = Memo()


@dataclass(frozen=True)
class Reversal:
    """Moves back `amount` of what an earlier order has moved, or all that is left of it with 0."""

    id: Id
    reverses_id: Id
    amount: int = 0
    memo: Memo = Memo()


@dataclass(frozen=True)
class Leg:
    wallet: Id
    is_credit: bool
    asset: int
    amount: int


@dataclass(frozen=True)
class Transaction:
    """2 to 64 legs, all or nothing; in each asset, the debits are the credits."""

    id: Id
    legs: List[Leg]
    memo: Memo = Memo()


Order = Union[Transfer, Pending, Post, Void, Reversal, Transaction]


@dataclass(frozen=True)
class WalletLimits:
    wallet: Id
    overdraft_limit: Optional[int]
    balance_max: int


@dataclass(frozen=True)
class FlagChange:
    wallet: Id
    set: int = 0
    clear: int = 0


@dataclass(frozen=True)
class WalletMetadata:
    wallet: Id
    metadata: bytes


@dataclass(frozen=True)
class Outcome:
    status: str
    replayed: bool
    seq: int
    timestamp_ns: int
    detail: Dict[str, Union[int, str]]

    @property
    def is_success(self) -> bool:
        return self.status in ("created", "exists")


@dataclass(frozen=True)
class Position:
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int


@dataclass(frozen=True)
class WalletPosition:
    wallet: int
    balance: int
    debits_pending: int
    credits_pending: int
    available: Optional[int]
    as_of_seq: int


@dataclass(frozen=True)
class WalletView:
    terms: NewWallet
    position: Position
    version: int
    last_seq: int
    created_seq: int
    created_at_ns: int
    available: Optional[int]
    as_of_seq: int


@dataclass(frozen=True)
class Hold:
    """What has become of a hold: its state is one of HOLD_STATES, and it may expire NEVER."""

    debit_wallet: int
    credit_wallet: int
    asset: int
    amount: int
    expires_at_ns: int
    state: str


@dataclass(frozen=True)
class Moved:
    """What has become of what was moved. Of a transaction, the amount is 1, which is all of it."""

    amount: int
    reversed: int


@dataclass(frozen=True)
class TransferView:
    order: Order
    outcome: Outcome
    progress: Union[Hold, Moved, None]


@dataclass(frozen=True)
class Balance:
    balance: int
    available: Optional[int]
    position: Position
    as_of_seq: int


@dataclass(frozen=True)
class AssetTrialBalance:
    asset: Asset
    wallets: int
    totals: Position


@dataclass(frozen=True)
class TrialBalance:
    as_of_seq: int
    assets: List[AssetTrialBalance]


@dataclass(frozen=True)
class AtSeq:
    """A moment: with every entry up to this one."""

    seq: int


@dataclass(frozen=True)
class AtTime:
    """A moment: with every entry whose time is not after this."""

    timestamp_ns: int


@dataclass(frozen=True)
class Cursor:
    """Where a page of a statement ended. Nothing to look into: give it back as it came."""

    as_of_seq: int
    seq: int
    query: int


@dataclass(frozen=True)
class StatementRow:
    seq: int
    timestamp_ns: int
    kind: str
    id: int
    counterparty: Optional[int]
    debits: int
    credits: int
    code: int
    group_id: int
    position: Position


@dataclass(frozen=True)
class Statement:
    """A page of one. `next` is None on the last page."""

    as_of_seq: int
    opening: Position
    closing: Position
    rows: List[StatementRow]
    next: Optional[Cursor]


@dataclass(frozen=True)
class OpenHold:
    id: int
    is_credit: bool
    amount: int
    expires_at_ns: int
    seq: int


@dataclass(frozen=True)
class ListedWallet:
    terms: NewWallet
    position: Position
    version: int
    last_seq: int
    created_seq: int
    created_at_ns: int


@dataclass(frozen=True)
class Movement:
    """What an event does to the counters of a wallet: how much each of them grows, or shrinks."""

    wallet: int
    asset: int
    position: Position


@dataclass(frozen=True)
class Event:
    """One journal entry. What is not of its kind is None; `changed` is the wallet and its new settings."""

    seq: int
    timestamp_ns: int
    kind: str
    order: Optional[Order] = None
    outcome: Optional[Outcome] = None
    movements: Tuple[Movement, ...] = ()
    pending_id: Optional[int] = None
    asset: Optional[Asset] = None
    wallet: Optional[NewWallet] = None
    changed: Optional[Tuple[int, Dict[str, Union[int, bytes, None]]]] = None
    import_id: Optional[int] = None


@dataclass(frozen=True)
class Events:
    """Every entry up to `through_seq` has been told, here or before, or is not wanted."""

    through_seq: int
    durable_seq: int
    events: List[Event]


@dataclass(frozen=True)
class Pong:
    timestamp_ns: int
    durable_seq: int


@dataclass(frozen=True)
class Welcome:
    version: int
    server_name: str
    server_version: str
    frame_bytes_max: int
    requests_in_flight_max: int
    operations_in_flight_max: int
    idle_timeout_ms: int
    batch_max: Dict[int, int]


class Writer:
    """Puts the fields of a body together."""

    def __init__(self) -> None:
        self.bytes = bytearray()

    def unsigned(self, width: int, value: int) -> None:
        self.bytes += value.to_bytes(width, "little")

    def id(self, value: Id) -> None:
        self.unsigned(16, value.int if isinstance(value, uuid.UUID) else value)

    def data(self, value: bytes) -> None:
        self.unsigned(8, len(value))
        self.bytes += value

    def list(self, items: List[T], write: Callable[[T], None]) -> None:
        self.unsigned(8, len(items))
        for item in items:
            write(item)

    def head(self, deadline_ms: int, trace_id: int) -> None:
        self.unsigned(4, deadline_ms)
        self.unsigned(16, trace_id)

    def asset(self, asset: Asset) -> None:
        self.unsigned(4, asset.id)
        self.data(asset.code.encode())
        self.unsigned(1, asset.scale)

    def wallet(self, wallet: NewWallet) -> None:
        self.id(wallet.id)
        self.owner(wallet.owner)
        self.unsigned(4, wallet.asset)
        self.unsigned(2, wallet.code)
        self.unsigned(2, wallet.flags)
        self.overdraft_limit(wallet.overdraft_limit)
        self.unsigned(16, wallet.balance_max)
        self.data(wallet.metadata)
        self.id(wallet.import_id)

    def transfer(self, transfer: Transfer) -> None:
        self.id(transfer.id)
        self.id(transfer.debit_wallet)
        self.id(transfer.credit_wallet)
        self.unsigned(4, transfer.asset)
        self.unsigned(16, transfer.amount)
        self.id(transfer.group_id)
        self.unsigned(2, transfer.code)
        self.unsigned(8, transfer.effective_at_ns)
        self.data(transfer.metadata)

    def memo(self, memo: Memo) -> None:
        self.id(memo.group_id)
        self.unsigned(2, memo.code)
        self.unsigned(8, memo.effective_at_ns)
        self.data(memo.metadata)

    def pending(self, pending: Pending) -> None:
        self.transfer(pending.transfer)
        self.unsigned(4, pending.timeout_s)

    def post(self, post: Post) -> None:
        self.id(post.id)
        self.id(post.pending_id)
        self.unsigned(16, post.amount)
        self.memo(post.memo)

    def void(self, void: Void) -> None:
        self.id(void.id)
        self.id(void.pending_id)
        self.memo(void.memo)

    def reversal(self, reversal: Reversal) -> None:
        self.id(reversal.id)
        self.id(reversal.reverses_id)
        self.unsigned(16, reversal.amount)
        self.memo(reversal.memo)

    def leg(self, leg: Leg) -> None:
        self.id(leg.wallet)
        self.unsigned(1, int(leg.is_credit))
        self.unsigned(4, leg.asset)
        self.unsigned(16, leg.amount)

    def transaction(self, transaction: Transaction) -> None:
        self.id(transaction.id)
        self.memo(transaction.memo)
        self.list(transaction.legs, self.leg)

    def overdraft_limit(self, limit: Optional[int]) -> None:
        if limit is UNLIMITED:
            self.unsigned(4, 1)
        else:
            self.unsigned(4, 0)
            self.unsigned(16, limit)

    def limits(self, limits: WalletLimits) -> None:
        self.id(limits.wallet)
        self.overdraft_limit(limits.overdraft_limit)
        self.unsigned(16, limits.balance_max)

    def flag_change(self, change: FlagChange) -> None:
        self.id(change.wallet)
        self.unsigned(2, change.set)
        self.unsigned(2, change.clear)

    def wallet_metadata(self, metadata: WalletMetadata) -> None:
        self.id(metadata.wallet)
        self.data(metadata.metadata)

    def option(self, value: Optional[T], write: Callable[[T], None]) -> None:
        self.unsigned(1, 0 if value is None else 1)
        if value is not None:
            write(value)

    def owner(self, owner: Union[Id, bytes]) -> None:
        if isinstance(owner, bytes):
            self.unsigned(4, 1)
            self.data(owner)
        else:
            self.unsigned(4, 0)
            self.id(owner)

    def moment(self, at: Union[AtSeq, AtTime]) -> None:
        self.unsigned(4, 0 if isinstance(at, AtSeq) else 1)
        self.unsigned(8, at.seq if isinstance(at, AtSeq) else at.timestamp_ns)

    def kind(self, name: str) -> None:
        self.unsigned(1, next(number for number, known in EVENT_KINDS.items() if known == name))

    def code(self, code: int) -> None:
        self.unsigned(2, code)

    def cursor(self, cursor: Cursor) -> None:
        self.unsigned(8, cursor.as_of_seq)
        self.unsigned(8, cursor.seq)
        self.unsigned(8, cursor.query)


class Reader:
    """Takes a body apart."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.offset = 0

    def take(self, count: int) -> bytes:
        end = self.offset + count
        if end > len(self.body):
            raise ProtocolError("a reply is cut short")
        taken = self.body[self.offset : end]
        self.offset = end
        return taken

    def finish(self) -> None:
        if self.offset != len(self.body):
            raise ProtocolError("a reply goes on after its end")

    def unsigned(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def i128(self) -> int:
        return int.from_bytes(self.take(16), "little", signed=True)

    def flag(self) -> bool:
        value = self.unsigned(1)
        if value > 1:
            raise ProtocolError(f"a bool or the tag of an option is {value}")
        return value == 1

    def option(self, read: Callable[[], T]) -> Optional[T]:
        return read() if self.flag() else None

    def data(self) -> bytes:
        return self.take(self.unsigned(8))

    def text(self) -> str:
        return self.data().decode()

    def list(self, read: Callable[[], T]) -> List[T]:
        return [read() for _ in range(self.unsigned(8))]

    def outcome(self) -> Outcome:
        status = status_name(self.unsigned(2))
        replayed = self.flag()
        seq = self.unsigned(8)
        timestamp_ns = self.unsigned(8)
        variant = self.unsigned(4)
        detail: Dict[str, Union[int, str]] = {}
        if variant == 1:
            detail = {"available": self.unsigned(16), "required": self.unsigned(16)}
        elif variant == 2:
            detail = {"limit": self.unsigned(16)}
        elif variant == 3:
            detail = {"first_status": status_name(self.unsigned(2))}
        elif variant == 4:
            detail = {"left": self.unsigned(16)}
        elif variant == 5:
            detail = {"index": self.unsigned(1), "status": status_name(self.unsigned(2))}
        elif variant != 0:
            raise ProtocolError(f"refusal detail {variant} is not known")
        return Outcome(status, replayed, seq, timestamp_ns, detail)

    def asset(self) -> Asset:
        return Asset(self.unsigned(4), self.text(), self.unsigned(1))

    def owner(self) -> Union[int, bytes]:
        variant = self.unsigned(4)
        if variant > 1:
            raise ProtocolError(f"owner {variant} is not known")
        return self.data() if variant == 1 else self.unsigned(16)

    def overdraft_limit(self) -> Optional[int]:
        variant = self.unsigned(4)
        if variant > 1:
            raise ProtocolError(f"overdraft limit {variant} is not known")
        return UNLIMITED if variant == 1 else self.unsigned(16)

    def wallet(self) -> NewWallet:
        id, owner, asset = self.unsigned(16), self.owner(), self.unsigned(4)
        code, flags, overdraft_limit = self.unsigned(2), self.unsigned(2), self.overdraft_limit()
        balance_max, metadata, import_id = self.unsigned(16), self.data(), self.unsigned(16)
        return NewWallet(id, asset, owner, code, flags, overdraft_limit, balance_max, metadata, import_id)

    def transfer(self) -> Transfer:
        return Transfer(
            id=self.unsigned(16),
            debit_wallet=self.unsigned(16),
            credit_wallet=self.unsigned(16),
            asset=self.unsigned(4),
            amount=self.unsigned(16),
            group_id=self.unsigned(16),
            code=self.unsigned(2),
            effective_at_ns=self.unsigned(8),
            metadata=self.data(),
        )

    def memo(self) -> Memo:
        return Memo(self.unsigned(16), self.unsigned(2), self.unsigned(8), self.data())

    def leg(self) -> Leg:
        return Leg(self.unsigned(16), self.flag(), self.unsigned(4), self.unsigned(16))

    def order(self, kind: Optional[int] = None) -> Order:
        kind = self.unsigned(1) if kind is None else kind
        if kind == 1:
            return self.transfer()
        if kind == 2:
            return Pending(self.transfer(), self.unsigned(4))
        if kind == 3:
            return Post(self.unsigned(16), self.unsigned(16), self.unsigned(16), self.memo())
        if kind == 4:
            return Void(self.unsigned(16), self.unsigned(16), self.memo())
        if kind == 6:
            return Reversal(self.unsigned(16), self.unsigned(16), self.unsigned(16), self.memo())
        if kind == 7:
            id, memo, legs = self.unsigned(16), self.memo(), self.list(self.leg)
            return Transaction(id, legs, memo)
        raise ProtocolError(f"an order of kind {kind} is not known")

    def progress(self) -> Union[Hold, Moved, None]:
        variant = self.unsigned(4)
        if variant == 0:
            return None
        if variant == 1:
            return Hold(
                debit_wallet=self.unsigned(16),
                credit_wallet=self.unsigned(16),
                asset=self.unsigned(4),
                amount=self.unsigned(16),
                expires_at_ns=self.unsigned(8),
                state=self.hold_state(),
            )
        if variant == 2:
            return Moved(self.unsigned(16), self.unsigned(16))
        raise ProtocolError(f"progress {variant} is not known")

    def hold_state(self) -> str:
        variant = self.unsigned(4)
        if variant >= len(HOLD_STATES):
            raise ProtocolError(f"the state {variant} of a hold is not known")
        return HOLD_STATES[variant]

    def position(self) -> Position:
        return Position(self.unsigned(16), self.unsigned(16), self.unsigned(16), self.unsigned(16))

    def available(self) -> Optional[int]:
        return self.option(self.i128)

    def wallet_position(self) -> WalletPosition:
        return WalletPosition(
            wallet=self.unsigned(16),
            balance=self.i128(),
            debits_pending=self.unsigned(16),
            credits_pending=self.unsigned(16),
            available=self.available(),
            as_of_seq=self.unsigned(8),
        )

    def wallet_view(self) -> WalletView:
        return WalletView(
            terms=self.wallet(),
            position=self.position(),
            version=self.unsigned(8),
            last_seq=self.unsigned(8),
            created_seq=self.unsigned(8),
            created_at_ns=self.unsigned(8),
            available=self.available(),
            as_of_seq=self.unsigned(8),
        )

    def transfer_view(self) -> TransferView:
        return TransferView(self.order(), self.outcome(), self.progress())

    def balance(self) -> Balance:
        return Balance(self.i128(), self.available(), self.position(), self.unsigned(8))

    def asset_trial_balance(self) -> AssetTrialBalance:
        return AssetTrialBalance(self.asset(), self.unsigned(8), self.position())

    def queried(self, read: Callable[[], T]) -> T:
        """What every question about the past is answered."""
        variant = self.unsigned(4)
        if variant == 1:
            status = status_name(self.unsigned(2))
            self.finish()
            raise NoAnswer(status)
        if variant != 0:
            raise ProtocolError(f"answer {variant} is not known")
        return read()

    def kind(self) -> Tuple[int, str]:
        number = self.unsigned(1)
        if number not in EVENT_KINDS:
            raise ProtocolError(f"kind {number} is not known")
        return number, EVENT_KINDS[number]

    def id(self) -> int:
        return self.unsigned(16)

    def cursor(self) -> Cursor:
        return Cursor(self.unsigned(8), self.unsigned(8), self.unsigned(8))

    def statement_row(self) -> StatementRow:
        return StatementRow(
            seq=self.unsigned(8),
            timestamp_ns=self.unsigned(8),
            kind=self.kind()[1],
            id=self.id(),
            counterparty=self.option(self.id),
            debits=self.unsigned(16),
            credits=self.unsigned(16),
            code=self.unsigned(2),
            group_id=self.unsigned(16),
            position=self.position(),
        )

    def statement(self) -> Statement:
        return Statement(
            as_of_seq=self.unsigned(8),
            opening=self.position(),
            closing=self.position(),
            rows=self.list(self.statement_row),
            next=self.option(self.cursor),
        )

    def open_hold(self) -> OpenHold:
        return OpenHold(self.id(), self.flag(), self.unsigned(16), self.unsigned(8), self.unsigned(8))

    def listed_wallet(self) -> ListedWallet:
        return ListedWallet(
            self.wallet(), self.position(), self.unsigned(8), self.unsigned(8), self.unsigned(8), self.unsigned(8)
        )

    def movement(self) -> Movement:
        wallet, asset, variant = self.id(), self.unsigned(4), self.unsigned(4)
        if variant == 0:
            debits, credits = self.unsigned(16), self.unsigned(16)
            return Movement(wallet, asset, Position(0, debits, 0, credits))
        if variant == 1:
            is_credit, pending, posted = self.flag(), self.unsigned(16), 0
        elif variant == 2:
            is_credit, pending, posted = self.flag(), -self.unsigned(16), self.unsigned(16)
        else:
            raise ProtocolError(f"change {variant} of a wallet is not known")
        of_side = (0, 0, pending, posted) if is_credit else (pending, posted, 0, 0)
        return Movement(wallet, asset, Position(*of_side))

    def setting(self) -> Dict[str, Union[int, bytes, None]]:
        variant = self.unsigned(4)
        if variant == 0:
            return {"overdraft_limit": self.overdraft_limit(), "balance_max": self.unsigned(16)}
        if variant == 1:
            return {"set": self.unsigned(2), "clear": self.unsigned(2)}
        if variant == 2:
            return {"metadata": self.data()}
        raise ProtocolError(f"setting {variant} is not known")

    def event(self) -> Event:
        seq, timestamp_ns = self.unsigned(8), self.unsigned(8)
        number, kind = self.kind()
        if number == 5:
            pending_id, movements = self.id(), tuple(self.list(self.movement))
            return Event(seq, timestamp_ns, kind, pending_id=pending_id, movements=movements)
        if number < 100:
            order, outcome, movements = self.order(number), self.outcome(), tuple(self.list(self.movement))
            return Event(seq, timestamp_ns, kind, order, outcome, movements)
        if number == 100:
            return Event(seq, timestamp_ns, kind, asset=self.asset())
        if number == 101:
            return Event(seq, timestamp_ns, kind, wallet=self.wallet())
        if number == 102:
            return Event(seq, timestamp_ns, kind, changed=(self.id(), self.setting()))
        if number == 104:
            return Event(seq, timestamp_ns, kind, import_id=self.id())
        return Event(seq, timestamp_ns, kind, self.order(), self.outcome())

    def events(self) -> Events:
        return Events(self.unsigned(8), self.unsigned(8), self.list(self.event))

    def batch_max(self) -> Tuple[int, int]:
        return self.unsigned(1), self.unsigned(4)

    def welcome(self) -> Welcome:
        return Welcome(
            version=self.unsigned(1),
            server_name=self.text(),
            server_version=self.text(),
            frame_bytes_max=self.unsigned(4),
            requests_in_flight_max=self.unsigned(4),
            operations_in_flight_max=self.unsigned(4),
            idle_timeout_ms=self.unsigned(4),
            batch_max=dict(self.list(self.batch_max)),
        )


Answered = Tuple[List[Outcome], List[List[WalletPosition]]]
"""The outcomes of orders, and for each the positions of its wallets."""


class BursarClient:
    """One connection to a server. Every method that takes a list answers with a list of the same length and order."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        name: str = "python example",
        credentials: bytes = b"",
        timeout_s: float = 10.0,
        trace_id: int = 0,
    ) -> None:
        self.timeout_ms = int(timeout_s * 1000)
        self.trace_id = trace_id
        self.frame_limit = HELLO_FRAME_MAX
        self.last_request_id = 0
        self.socket = socket.create_connection((host, port), timeout=timeout_s)
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            hello = Writer()
            hello.unsigned(1, VERSION)
            hello.unsigned(1, VERSION)
            hello.data(name.encode())
            hello.data(credentials)
            self.welcome = self._exchange(HELLO, hello, Reader.welcome)
            if self.welcome.version != VERSION:
                raise ProtocolError(f"the server chose version {self.welcome.version}, which was not offered")
            self.frame_limit = min(self.welcome.frame_bytes_max, FRAME_HARD_MAX)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self) -> BursarClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def create_assets(self, assets: List[Asset]) -> List[Outcome]:
        request = self._request()
        request.list(assets, request.asset)
        return self._exchange(CREATE_ASSETS, request, lambda reply: reply.list(reply.outcome))

    def create_wallets(self, wallets: List[NewWallet]) -> List[Outcome]:
        request = self._request()
        request.list(wallets, request.wallet)
        return self._exchange(CREATE_WALLETS, request, lambda reply: reply.list(reply.outcome))

    def create_transfers(self, transfers: List[Transfer]) -> List[Outcome]:
        """Moves amounts from one wallet to another."""
        return self._orders(CREATE_TRANSFERS, transfers, Writer.transfer, False)[0]

    def create_transfers_with_balances(self, transfers: List[Transfer]) -> Answered:
        return self._orders(CREATE_TRANSFERS, transfers, Writer.transfer, True)

    def create_pending(self, pending: List[Pending]) -> List[Outcome]:
        """Holds amounts."""
        return self._orders(CREATE_PENDING, pending, Writer.pending, False)[0]

    def create_pending_with_balances(self, pending: List[Pending]) -> Answered:
        return self._orders(CREATE_PENDING, pending, Writer.pending, True)

    def post_pending(self, posts: List[Post]) -> List[Outcome]:
        """Captures holds."""
        return self._orders(POST_PENDING, posts, Writer.post, False)[0]

    def post_pending_with_balances(self, posts: List[Post]) -> Answered:
        return self._orders(POST_PENDING, posts, Writer.post, True)

    def void_pending(self, voids: List[Void]) -> List[Outcome]:
        """Releases holds."""
        return self._orders(VOID_PENDING, voids, Writer.void, False)[0]

    def void_pending_with_balances(self, voids: List[Void]) -> Answered:
        return self._orders(VOID_PENDING, voids, Writer.void, True)

    def reverse(self, reversals: List[Reversal]) -> List[Outcome]:
        """Moves back what earlier orders have moved."""
        return self._orders(REVERSE, reversals, Writer.reversal, False)[0]

    def reverse_with_balances(self, reversals: List[Reversal]) -> Answered:
        return self._orders(REVERSE, reversals, Writer.reversal, True)

    def create_transactions(self, transactions: List[Transaction]) -> List[Outcome]:
        """Moves amounts between several wallets, each transaction in full or not at all."""
        return self._orders(CREATE_TRANSACTIONS, transactions, Writer.transaction, False)[0]

    def create_transactions_with_balances(self, transactions: List[Transaction]) -> Answered:
        return self._orders(CREATE_TRANSACTIONS, transactions, Writer.transaction, True)

    def _orders(
        self, message_type: int, orders: List[T], write: Callable[[Writer, T], None], with_balances: bool
    ) -> Answered:
        request = self._request()
        request.unsigned(1, int(with_balances))
        request.list(orders, lambda order: write(request, order))
        return self._exchange(
            message_type,
            request,
            lambda reply: (reply.list(reply.outcome), reply.list(lambda: reply.list(reply.wallet_position))),
        )

    def set_limits(self, limits: List[WalletLimits]) -> List[Outcome]:
        """Sets both limits of wallets."""
        return self._changes(SET_LIMITS, limits, Writer.limits)

    def set_flags(self, changes: List[FlagChange]) -> List[Outcome]:
        """Freezes, unfreezes, closes and reopens wallets."""
        return self._changes(SET_FLAGS, changes, Writer.flag_change)

    def close_imports(self, imports: List[Id]) -> List[Outcome]:
        """Shows the wallets that were created under these imports."""
        return self._changes(CLOSE_IMPORTS, imports, Writer.id)

    def set_metadata(self, changes: List[WalletMetadata]) -> List[Outcome]:
        """Replaces the metadata of wallets."""
        return self._changes(SET_METADATA, changes, Writer.wallet_metadata)

    def _changes(self, message_type: int, changes: List[T], write: Callable[[Writer, T], None]) -> List[Outcome]:
        request = self._request()
        request.list(changes, lambda change: write(request, change))
        return self._exchange(message_type, request, lambda reply: reply.list(reply.outcome))

    def lookup_wallets(self, ids: List[Id]) -> List[Optional[WalletView]]:
        return self._lookup(LOOKUP_WALLETS, ids, Reader.wallet_view)

    def lookup_transfers(self, ids: List[Id]) -> List[Optional[TransferView]]:
        return self._lookup(LOOKUP_TRANSFERS, ids, Reader.transfer_view)

    def balances(self, ids: List[Id]) -> List[Optional[Balance]]:
        return self._lookup(BALANCES, ids, Reader.balance)

    def _lookup(self, message_type: int, ids: List[Id], read: Callable[[Reader], T]) -> List[Optional[T]]:
        request = self._request()
        request.list(ids, request.id)
        return self._exchange(
            message_type, request, lambda reply: reply.list(lambda: reply.option(lambda: read(reply)))
        )

    def trial_balance(self) -> TrialBalance:
        return self._exchange(
            TRIAL_BALANCE,
            self._request(),
            lambda reply: TrialBalance(reply.unsigned(8), reply.list(reply.asset_trial_balance)),
        )

    def balances_at(self, at: Union[AtSeq, AtTime], ids: List[Id]) -> Tuple[int, List[Optional[Position]]]:
        """Where wallets stood at a moment, and the last entry of it."""
        request = self._request()
        request.moment(at)
        request.list(ids, request.id)
        return self._ask(
            BALANCES_AT,
            request,
            lambda reply: (reply.unsigned(8), reply.list(lambda: reply.option(reply.position))),
        )

    def statement(
        self,
        wallet: Id,
        *,
        from_ns: int = 0,
        to_ns: int = NOW,
        newest_first: bool = False,
        kind: Optional[str] = None,
        code: Optional[int] = None,
        group_id: Optional[Id] = None,
        limit: int = 0,
        cursor: Optional[Cursor] = None,
    ) -> Statement:
        """A page of what was done to a wallet."""
        request = self._request()
        request.id(wallet)
        request.unsigned(8, from_ns)
        request.unsigned(8, to_ns)
        request.unsigned(1, int(newest_first))
        request.option(kind, request.kind)
        request.option(code, request.code)
        request.option(group_id, request.id)
        request.unsigned(4, limit)
        request.option(cursor, request.cursor)
        return self._ask(STATEMENT, request, Reader.statement)

    def statement_pages(self, wallet: Id, **query: Any) -> Iterator[Statement]:
        """All pages of it, as of the same entry."""
        page = self.statement(wallet, **query)
        yield page
        while page.next is not None:
            page = self.statement(wallet, **{**query, "cursor": page.next})
            yield page

    def list_pending(
        self, wallet: Id, *, after: Optional[Id] = None, limit: int = 0
    ) -> Tuple[int, List[OpenHold], Optional[int]]:
        """A page of the open holds of a wallet: as of which entry, the holds, and where to go on."""
        request = self._request()
        request.id(wallet)
        request.option(after, request.id)
        request.unsigned(4, limit)
        return self._ask(
            LIST_PENDING,
            request,
            lambda reply: (reply.unsigned(8), reply.list(reply.open_hold), reply.option(reply.id)),
        )

    def list_wallets(
        self,
        *,
        owner: Union[Id, bytes, None] = None,
        code: Optional[int] = None,
        flags: int = 0,
        after: Optional[Id] = None,
        limit: int = 0,
    ) -> Tuple[int, List[ListedWallet], Optional[int]]:
        """A page of wallets: as of which entry, the wallets, and where to go on."""
        request = self._request()
        request.option(owner, request.owner)
        request.option(code, request.code)
        request.unsigned(2, flags)
        request.option(after, request.id)
        request.unsigned(4, limit)
        return self._ask(
            LIST_WALLETS,
            request,
            lambda reply: (reply.unsigned(8), reply.list(reply.listed_wallet), reply.option(reply.id)),
        )

    def read_records(self, from_seq: int, bytes_max: int = 0) -> Tuple[int, List[bytes]]:
        """The newest durable entry, and records of the journal from the one on that holds `from_seq`."""
        request = self._request()
        request.unsigned(8, from_seq)
        request.unsigned(4, bytes_max)
        return self._ask(READ_RECORDS, request, lambda reply: (reply.unsigned(8), reply.list(reply.data)))

    def _ask(self, message_type: int, request: Writer, read: Callable[[Reader], T]) -> T:
        return self._exchange(message_type, request, lambda reply: reply.queried(lambda: read(reply)))

    def subscribe(
        self,
        from_seq: Optional[int] = None,
        *,
        wallets: Sequence[Id] = (),
        kinds: Sequence[str] = (),
        code: Optional[int] = None,
        credit: int = 1000,
    ) -> Subscription:
        """Every entry from `from_seq` on, or with None only what is new. The connection is the subscription's from now on."""
        request = self._request()
        request.option(from_seq, lambda seq: request.unsigned(8, seq))
        request.list(list(wallets), request.id)
        request.list(list(kinds), request.kind)
        request.option(code, request.code)
        request.unsigned(4, credit)
        first = self._ask(SUBSCRIBE, request, Reader.events)
        return Subscription(self, self.last_request_id, first, credit)

    def ping(self) -> Pong:
        return self._exchange(PING, self._request(), lambda reply: Pong(reply.unsigned(8), reply.unsigned(8)))

    def _request(self) -> Writer:
        request = Writer()
        request.head(self.timeout_ms, self.trace_id)
        return request

    def _exchange(self, message_type: int, request: Writer, read: Callable[[Reader], T]) -> T:
        """Sends one request, waits for its reply, and reads that."""
        self._send(message_type, request)
        reply_type, request_id, reply = self._next()
        if reply_type != message_type + 128 or request_id != self.last_request_id:
            raise ProtocolError(f"message {reply_type} to request {request_id} is not the expected reply")
        answer = read(reply)
        reply.finish()
        return answer

    def _send(self, message_type: int, request: Writer) -> None:
        self.last_request_id += 1
        frame = encode_frame(message_type, self.last_request_id, bytes(request.bytes))
        if len(frame) > self.frame_limit:
            raise ValueError(f"the request has {len(frame)} bytes, more than the limit of {self.frame_limit}")
        try:
            self.socket.sendall(frame)
        except OSError as error:
            self.close()
            raise BursarError(f"the connection is lost: {error}") from error

    def _next(self) -> Tuple[int, int, Reader]:
        """The next frame, which is no error."""
        try:
            reply_type, request_id, body = self._receive()
        except OSError as error:
            # What comes later would answer a call that was given up.
            self.close()
            raise BursarError(f"the connection is lost: {error}") from error
        reply = Reader(body)
        if reply_type == ERROR:
            code, text, retry_after_ms = reply.unsigned(2), reply.text(), reply.unsigned(4)
            raise Refused(code, text, retry_after_ms)
        return reply_type, request_id, reply

    def _receive(self) -> Tuple[int, int, bytes]:
        length, magic, version, message_type, request_id = struct.unpack("<I2sBBQ", self._receive_exactly(HEADER_LENGTH))
        if magic != MAGIC:
            raise ProtocolError("the server does not speak this protocol")
        if length < 12 or length + 4 > self.frame_limit:
            raise ProtocolError(f"a frame of length {length}")
        if version != VERSION:
            raise ProtocolError(f"a frame of version {version}")
        return message_type, request_id, self._receive_exactly(length - 12)

    def _receive_exactly(self, count: int) -> bytes:
        received = bytearray()
        while len(received) < count:
            part = self.socket.recv(count - len(received))
            if not part:
                raise BursarError("the server closed the connection")
            received += part
        return bytes(received)


class Subscription:
    """The events of one subscription, as an iterator that ends only with the connection.

    After a break, subscribe on another connection from `through_seq + 1`.
    """

    def __init__(self, client: BursarClient, id: int, first: Events, credit: int) -> None:
        self.client = client
        self.id = id
        self.credit = credit
        self.taken = 0
        self.ready = first.events
        self.ready_through = first.through_seq
        self.through_seq = first.through_seq
        self.durable_seq = first.durable_seq

    def __iter__(self) -> Iterator[Event]:
        while True:
            yield from self._ready()
            self._receive()

    def until(self, seq: int) -> Iterator[Event]:
        """The events up to this entry; those behind it, of the same frame, too."""
        while True:
            yield from self._ready()
            if self.through_seq >= seq:
                return
            self._receive()

    def end(self) -> int:
        """Ends it, and returns how far it has come. The connection is free for other requests then."""
        request = self.client._request()
        request.unsigned(8, self.id)
        self.client._send(UNSUBSCRIBE, request)
        while True:
            reply_type, _, reply = self.client._next()
            # Events that were on their way are left out.
            if reply_type == UNSUBSCRIBE + 128:
                return reply.unsigned(8)

    def _ready(self) -> Iterator[Event]:
        while self.ready:
            event = self.ready.pop(0)
            self.through_seq = event.seq if self.ready else self.ready_through
            self.taken += 1
            yield event

    def _receive(self) -> None:
        if self.taken >= self.credit / 2:
            more = self.client._request()
            more.unsigned(8, self.id)
            more.unsigned(4, self.taken)
            self.client._send(MORE_EVENTS, more)
            self.taken = 0
        reply_type, request_id, reply = self.client._next()
        if reply_type == MORE_EVENTS + 128:
            return
        if reply_type != SUBSCRIBE + 128 or request_id != self.id:
            raise ProtocolError(f"message {reply_type} is not of the subscription")
        frame = reply.queried(reply.events)
        reply.finish()
        self.ready, self.ready_through, self.durable_seq = frame.events, frame.through_seq, frame.durable_seq
        if not self.ready:
            self.through_seq = self.ready_through


def encode_frame(message_type: int, request_id: int, body: bytes) -> bytes:
    return struct.pack("<I2sBBQ", 12 + len(body), MAGIC, VERSION, message_type, request_id) + body


def status_name(number: int) -> str:
    if number not in STATUS_NAMES:
        raise ProtocolError(f"status {number} is not known")
    return STATUS_NAMES[number]
