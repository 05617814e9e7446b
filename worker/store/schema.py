"""The tables, for SQLite and PostgreSQL alike. The migrations make them; a test holds both against each other.

Times are seconds since 1970 of the database's own clock. JSON is kept as text: the ledger never looks into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from sqlalchemy import ScalarSelect
    from sqlalchemy.sql.compiler import SQLCompiler

__all__ = [
    "controls",
    "events",
    "hints",
    "metadata",
    "moment",
    "now",
    "orders",
    "store",
    "subscriptions",
    "timers",
    "tokens",
    "watches",
]

metadata = MetaData()

#: One row: which store this is (workers of another store must not share its broker), and which schema it has.
store = Table(
    "store",
    metadata,
    Column("id", Text, primary_key=True, comment="UUID of this store"),
    Column("schema_version", Integer, nullable=False, comment="number of the newest migration that was applied"),
)

#: The ledger: one row per command that changes something.
orders = Table(
    "orders",
    metadata,
    Column("key", Text, primary_key=True, comment="JSON [base URL, source, idempotency key]"),
    Column("state", Text, nullable=False),
    Column("run", Integer, nullable=False),
    Column("row_version", Integer, nullable=False, comment="of the rules that wrote the row; a newer one is left alone"),
    Column("fingerprint", Text, nullable=False, comment="rule's version and hash of the canonical payload"),
    Column("resubmitted", Boolean, nullable=False, comment="an earlier run may have been executed"),
    # Who sends.
    Column("owner", Text, comment="of the lease"),
    Column("lease_until", Double),
    Column("sent_at", Double, comment="when the first claim of this run was made"),
    # The command, as far as its outcome needs it.
    Column("base_url", Text, nullable=False),
    Column("command_id", Text, nullable=False),
    Column("command_source", Text, nullable=False),
    Column("command_type", Text, nullable=False),
    Column("envelope", Text, nullable=False, comment="JSON: correlation id, trace, reply address and the like"),
    Column("attempts", Integer, nullable=False),
    # The order.
    Column("customer_code", Text, nullable=False),
    Column("branch_code", Text, nullable=False),
    Column("po_number", Text, nullable=False, comment="as SIPS knows it"),
    Column("po_claim", Text, comment="JSON [base URL, customer, PO number] while the number is taken"),
    Column("transaction_id", Text, nullable=False),
    Column("transaction_date", Text, nullable=False),
    Column("payload", Text, comment="JSON: the whole request; emptied after the order ended"),
    Column("order_id", Text),
    Column("queue_id", Text),
    # What was seen.
    Column("looks", Integer, nullable=False, comment="counted looks at SIPS since sent_at"),
    Column("trouble_at", Double, comment="when SIPS last failed to answer a look"),
    Column("last_error", Text, comment="code and text without payload values"),
    # Times and decisions.
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("ended_at", Double),
    Column("resolution", Text, comment="JSON: what a person decided, who and when"),
    Index("orders_po_claim", "po_claim", unique=True),
    Index("orders_po_number", "base_url", "customer_code", "po_number"),
    Index("orders_order_id", "order_id"),
    Index("orders_command_id", "command_id"),
    Index("orders_state", "state", "updated_at"),
)

#: What is said of an order or of a watch: kept as long as that is, so that a repeated command gets the same answer.
events = Table(
    "events",
    metadata,
    Column("id", Text, primary_key=True, comment="the CloudEvent's"),
    Column("key", Text, nullable=False, comment="of the order"),  # or of the watch
    Column("type", Text, nullable=False),
    Column("run", Integer, nullable=False),  # of a watch it is the fact's number in its sequence
    Column("body", Text, nullable=False, comment="the CloudEvent as it is published"),
    Column("created_at", Double, nullable=False),
    Column("published_at", Double, comment="when RabbitMQ was known to have it"),
    Index("events_key", "key"),
)

#: What happens later. One row per kind and thing; whoever claims a due one publishes a tick for it.
timers = Table(
    "timers",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("ref", Text, primary_key=True, comment="what it is about: an order's key, a watch's"),
    Column("due", Double, nullable=False, comment="a claim moves it on, so that others leave the timer alone meanwhile"),
    Column("claims", BigInteger, nullable=False, comment="how often it was claimed; tells a late tick from the current one"),
    Index("timers_due", "due"),
)

#: For each SIPS the proof that its list of orders can be believed; without it, absence proves nothing.
controls = Table(
    "controls",
    metadata,
    Column("base_url", Text, primary_key=True),
    Column("found_at", Double, nullable=False, comment="when a known order was found and an invented one was not"),
    Column("po_number", Text, nullable=False, comment="of the known order"),
)

#: SIPS' bearer token for the whole fleet: one row for each pair of credentials that was ever used.
tokens = Table(
    "tokens",
    metadata,
    Column("key", Text, primary_key=True, comment="hash of base URL, client id, scope and the secret's fingerprint"),
    Column(
        "version", Integer, nullable=False, comment="counts the refreshes, good and bad; tells what another one did meanwhile"
    ),
    Column("used_since", Double, nullable=False, comment="when these credentials were first used"),
    # The token.
    Column("sealed", LargeBinary, comment="encrypted with a key that is derived from the client secret"),
    Column("fingerprint", Text, comment="names the token"),
    Column("obtained_at", Double),
    Column("refresh_at", Double),
    Column("expires_at", Double),
    # Who fetches the next one.
    Column("owner", Text, comment="of the lease"),
    Column("lease_until", Double),
    # The last refresh that failed.
    Column("failures", Integer, nullable=False, comment="in a row"),
    Column("failed_at", Double),
    Column("retry_at", Double, comment="nobody tries again before"),
    Column("error_code", Text),
    Column("error_status", Integer),
    Column("error", Text, comment="without a secret"),
)


#: What is known of each order that is watched, or was: facts are told by comparing with it, so it outlives its watch.
watches = Table(
    "watches",
    metadata,
    Column("key", Text, primary_key=True, comment="JSON [base URL, order id]"),
    Column("base_url", Text, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("customer_code", Text, nullable=False, comment="empty while it is not known"),
    Column("po_number", Text, nullable=False, comment="empty while it is not known"),
    Column("envelope", Text, nullable=False, comment="JSON: correlation id, source and trace of the command that brought it"),
    Column("sequence", Integer, nullable=False, comment="of its last fact"),
    # What SIPS was seen to say, and the database's time from before the call that told it.
    Column("status", Text, comment="of the order, in SIPS' words"),
    Column("status_seen_at", Double),
    Column("deliveries", Text, comment="JSON: shipment number to status and dates"),
    Column("deliveries_seen_at", Double),
    Column("invoices", Text, comment="JSON: numbers of its invoices"),
    Column("invoices_seen_at", Double),
    # When it is looked at, and for how long.
    Column("due", Double, comment="of the next look at its status; null = nobody watches that"),
    Column("created_at", Double, nullable=False, comment="when it was submitted here, else when it was watched first"),
    Column("ended_at", Double, comment="when the last subscription ended; null = it is watched"),
    Index("watches_due", "base_url", "customer_code", "due"),
    Index("watches_ended_at", "ended_at"),
)

#: Who wants a watch to go on: one row per watch, kind and source of commands.
subscriptions = Table(
    "subscriptions",
    metadata,
    Column("key", Text, primary_key=True, comment="of the watch"),
    Column("kind", Text, primary_key=True, comment="order or delivery"),
    Column("source", Text, primary_key=True, comment="of the command that asked for it"),
    Column("command_id", Text, nullable=False),
    Column("interval", Double, comment="seconds between two looks; null = as the expected day has it"),
    Column("until", Double, nullable=False),
    Column("terminal", Text, comment="JSON: statuses that end it; null = those of the settings"),
    Column("created_at", Double, nullable=False),
)

#: What webhooks told of: kept until its order is known, and then for as long as it may be told again.
hints = Table(
    "hints",
    metadata,
    Column("id", Text, primary_key=True, comment="hash of type, id, status, time and references"),
    Column("event_type", Text, nullable=False),
    Column("order_id", Text, nullable=False, comment="this and the next two as far as it names them, else empty"),
    Column("po_number", Text, nullable=False),
    Column("transaction_id", Text, nullable=False),
    Column("time", Text, nullable=False, comment="SIPS' own, as it came"),
    Column("received_at", Double, nullable=False),
    Column("handled_at", Double, comment="null = its order is not known yet"),
    Index("hints_order_id", "order_id"),
    Index("hints_transaction_id", "transaction_id"),
    Index("hints_received_at", "received_at"),
)


class now(FunctionElement[float]):  # noqa: N801 - reads as a function in SQL
    """The database's clock in seconds since 1970; workers' clocks differ."""

    inherit_cache = True
    type = Double()


@compiles(now, "sqlite")
def _sqlite(_element: now, _compiler: SQLCompiler, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _postgresql(_element: now, _compiler: SQLCompiler, **_: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


def moment() -> ScalarSelect[float]:
    """The same, read once for a whole statement.

    PostgreSQL looks nothing up in an index by `now()`, which is another time for each row that it passes.
    """
    return select(now()).scalar_subquery()
