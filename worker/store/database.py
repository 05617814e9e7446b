"""What `Store` needs of a kind of database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from worker.store.errors import StoreError
    from worker.store.statements import Work

__all__ = ["Database", "Dialect", "Step"]

Dialect = Literal["sqlite", "postgresql"]

#: What was being done when an error came.
Step = Literal["reading", "writing", "committing"]


class Database(Protocol):
    """One kind of database at one address."""

    #: Which kind.
    dialect: Dialect
    #: What messages call it; without a password.
    name: str
    #: Connections of one process: those that write, and those that only read.
    writers: int
    readers: int
    #: What is done while works are carried out: where that commits them as well, a lost answer leaves a doubt.
    work_step: Step

    def open(self, *, writes: bool) -> Connection:
        """A new connection; one that does not write commits each statement for itself, and can change nothing."""

    def is_fresh(self, connection: Connection) -> bool:
        """Whether an idle connection can still be used, as far as this can be told without asking the server."""

    def begin(self, connection: Connection) -> None:
        """Begin a transaction that writes."""

    def carry_out(self, connection: Connection, works: Sequence[Work[Any]]) -> list[Any]:
        """What works come to, in one transaction past SQLAlchemy; where one fails, nothing stays of any."""

    def end_work(self, connection: Connection) -> None:
        """Commit them, where they are not."""

    def begin_migration(self, connection: Connection) -> None:
        """Begin a transaction that no other migration runs beside, and that may take minutes."""

    def is_intact(self, connection: Connection) -> bool:
        """Whether a commit would commit: after a failed statement PostgreSQL answers it with a rollback, and no error."""

    def translate(self, error: BaseException, step: Step, connection: Connection | None = None) -> StoreError | None:
        """What an error of the driver or of SQLAlchemy means for the store; None if it is a fault of our own."""
