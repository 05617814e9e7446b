"""The options of `sips-worker dead` that choose dead letters, shared by its commands."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from worker.messaging.dead_letters import Selection

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["filters"]

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """The moment that an age (90s, 15m, 2h, 3d) ago was.

    Raises:
        click.BadParameter: it is no age.
    """
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,5})([smhd])", value)
    if not found:
        raise click.BadParameter(f"{value!r} is no age such as 90s, 15m, 2h or 3d")
    return datetime.now(UTC) - timedelta(**{UNITS[found[2]]: int(found[1])})


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose dead letters; the command gets `selection` and `limit`."""

    @functools.wraps(command)
    def choose(
        types: tuple[str, ...],
        reasons: tuple[str, ...],
        sources: tuple[str, ...],
        keys: tuple[str, ...],
        older: datetime | None,
        newer: datetime | None,
        **others: Any,
    ) -> Any:
        selection = Selection(frozenset(types), frozenset(reasons), frozenset(sources), frozenset(keys), older, newer)
        return command(selection=selection, **others)

    for option in reversed(
        (
            click.option("--type", "types", multiple=True, help="Of this command type, e.g. sips.pricing.fetch; repeatable."),
            click.option("--reason", "reasons", multiple=True, help="With this reason, e.g. unknown-type; repeatable."),
            click.option("--source", "sources", multiple=True, help="From this source; repeatable."),
            click.option("--id", "keys", multiple=True, help="With this id, as `list` shows it; repeatable."),
            click.option("--older", callback=moment, help="Dead for longer than this: 90s, 15m, 2h, 3d."),
            click.option("--newer", callback=moment, help="Dead for less than this."),
            click.option("--limit", type=click.IntRange(min=1), help="At most so many, in RabbitMQ's order."),
        )
    ):
        choose = option(choose)
    return choose
