"""The options of `sips-worker dead` that choose dead letters, shared by its commands."""

from __future__ import annotations

import functools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from worker.cli.ages import age
from worker.messaging.dead_letters import Selection

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["filters"]


def filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that choose dead letters; the command gets `selection` and `limit`."""

    @functools.wraps(command)
    def choose(
        types: tuple[str, ...],
        reasons: tuple[str, ...],
        sources: tuple[str, ...],
        keys: tuple[str, ...],
        older: float | None,
        newer: float | None,
        **others: Any,
    ) -> Any:
        selection = Selection(frozenset(types), frozenset(reasons), frozenset(sources), frozenset(keys), _ago(older), _ago(newer))
        return command(selection=selection, **others)

    for option in reversed(
        (
            click.option("--type", "types", multiple=True, help="Of this command type, e.g. sips.pricing.fetch; repeatable."),
            click.option("--reason", "reasons", multiple=True, help="With this reason, e.g. unknown-type; repeatable."),
            click.option("--source", "sources", multiple=True, help="From this source; repeatable."),
            click.option("--id", "keys", multiple=True, help="With this id, as `list` shows it; repeatable."),
            click.option("--older", callback=age, help="Dead for longer than this: 90s, 15m, 2h, 3d."),
            click.option("--newer", callback=age, help="Dead for less than this."),
            click.option("--limit", type=click.IntRange(min=1), help="At most so many, in RabbitMQ's order."),
        )
    ):
        choose = option(choose)
    return choose


def _ago(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.now(UTC) - timedelta(seconds=seconds)
