"""`sips-worker reconcile`: compare open orders with what SIPS lists now, and have what was missed published."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import TYPE_CHECKING

import click
import orjson

from worker import settings as settings_module
from worker.cli.ages import age
from worker.cli.refusal import CANNOT, NO, Refusal
from worker.cli.store_access import opened_store
from worker.main import check, make_comparing
from worker.runtime.order_words import printable, rfc3339
from worker.sips import Deadline, Limits, Sips, SipsClient, SipsError, make_token_source
from worker.sips.errors import CallLimit, NoAnswer, Throttled, TokenError
from worker.store.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.runtime.comparing import Changed, Comparing
    from worker.settings import Settings
    from worker.store.engine import Store
    from worker.store.watched import Watch

__all__ = ["reconcile"]

_ROW = "{customer:<20}  {compared:>8}  {changed:>7}  {not_listed:>10}"

#: What speaks of SIPS as a whole, so that the next customer would be told the same.
_AWAY = (NoAnswer, TokenError, Throttled, CallLimit)


@dataclass(slots=True)
class Result:
    """What the comparison of a customer's orders came to; `unanswered` has what could not be asked, and why."""

    customer: str
    compared: int = 0
    changed: list[Changed] = field(default_factory=list)
    not_listed: list[Watch] = field(default_factory=list)
    unanswered: list[tuple[str, SipsError]] = field(default_factory=list)


def _since(context: click.Context, parameter: click.Parameter, value: str) -> date | float:
    """A day, or seconds."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise click.BadParameter(f"{value!r} is no day of the calendar") from None
    try:
        seconds = age(context, parameter, value)
    except click.BadParameter:
        raise click.BadParameter(f"{value!r} is neither a day such as 2026-01-15 nor an age such as 7d") from None
    assert seconds is not None  # noqa: S101 - a value was given
    return seconds


@click.command()
@click.option(
    "--since", required=True, callback=_since, metavar="DATE|Nd", help="Orders that began on this day (SIPS' zone), or later."
)
@click.option("--customer", "only", multiple=True, metavar="CODE", help="Of this customer code; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per customer.")
def reconcile(since: date | float, only: tuple[str, ...], *, as_json: bool) -> None:
    """Find out what was missed of open orders, and have it published.

    Compares every order that SIPS has and whose status is no end with SIPS' list of orders, whether it is watched, was, or
    never was, and writes down what changed. Workers publish the facts, and read deliveries and invoices, as soon as they run;
    RabbitMQ is not needed here. They do the same by themselves once a day (RECONCILE_DAYS).

    Exit status 1 if SIPS does not list one of the orders, 2 if it did not answer for all of them.
    """
    settings = settings_module.load()
    check(settings)
    with opened_store(settings) as store:
        first = _first(since, settings, store)
        comparing = make_comparing(settings, store)
        customers = [code for code in comparing.customers(first) if not only or code in only]
        results: list[Result] = []
        for result in _compared(settings, store, comparing, customers, first):
            if not results and not as_json:
                click.secho(_row("CUSTOMER", "COMPARED", "CHANGED", "NOT LISTED"), bold=True)
            results.append(result)
            for line in [_as_json(result)] if as_json else _as_text(result):
                click.echo(line)
    _conclude(results, first, as_json=as_json)


def _first(since: date | float, settings: Settings, store: Store) -> float:
    """The database's time from which on."""
    if isinstance(since, date):
        return datetime.combine(since, time(), settings.time_zone).timestamp()
    return store.now() - since


def _compared(settings: Settings, store: Store, comparing: Comparing, customers: Sequence[str], first: float) -> Iterator[Result]:
    """One customer after the other.

    Raises:
        Refusal: SIPS cannot be asked.
    """
    limits = Limits(concurrency=settings.sips_max_concurrency, per_second=settings.sips_max_rps)
    tokens = make_token_source(settings, storage=Tokens(store))
    with contextlib.closing(SipsClient(settings, tokens, limits=limits)) as client:
        for customer in customers:
            result = Result(customer)
            try:
                _compare(comparing, client, settings, first, result)
            except _AWAY as error:
                if result.compared:
                    yield result
                raise _away(error, customer) from None
            except SipsError as error:
                result.unanswered.append(("", error))
            yield result


def _away(error: SipsError, customer: str) -> Refusal:
    stopped = f"SIPS cannot be asked ({error.code}: {error}): customer {_name(customer)} and those behind are not compared"
    return Refusal(f"{stopped}; what was found until then is written down. `sips-worker doctor` looks at SIPS", status=CANNOT)


def _compare(comparing: Comparing, client: SipsClient, settings: Settings, first: float, result: Result) -> None:
    after: str | None = ""
    while after is not None:
        sips = Sips(client, Deadline.after(settings.sips_call_seconds))
        part = comparing.compare(sips, result.customer, first, after=after)
        result.compared += part.orders
        result.changed += part.changed
        result.not_listed += part.not_listed
        result.unanswered += [(watch.order_id, error) for watch, error in part.unanswered]
        after = part.after


def _as_text(result: Result) -> Iterator[str]:
    counts = (result.compared, len(result.changed), len(result.not_listed))
    yield _row(_name(result.customer), *map(str, counts))
    for watch, status in result.changed:
        yield f"  order {printable(watch.order_id)}: {printable(watch.status or 'not known')} -> {printable(status or '')}"
    for watch in result.not_listed:
        yield click.style(f"  order {printable(watch.order_id)}: SIPS does not list it", fg="yellow")
    for order_id, error in result.unanswered:
        what = f"order {printable(order_id)}" if order_id else "its orders"
        yield click.style(f"  {what}: not compared, {error.code}: {error}", fg="red")


def _as_json(result: Result) -> str:
    told = {
        "customerCode": result.customer or None,
        "compared": result.compared,
        "changed": [{"orderId": watch.order_id, "previous": watch.status, "current": status} for watch, status in result.changed],
        "notListed": [watch.order_id for watch in result.not_listed],
        "notCompared": [
            {"orderId": order_id or None, "error": f"{error.code}: {error}"} for order_id, error in result.unanswered
        ],
    }
    return orjson.dumps(told).decode()


def _conclude(results: Sequence[Result], first: float, *, as_json: bool) -> None:
    """The sum, and the exit status."""
    if not results:
        click.echo(f"no open order that began at {rfc3339(first)} or later", err=as_json)
        return
    changed, not_listed = sum(len(result.changed) for result in results), sum(len(result.not_listed) for result in results)
    if not as_json:
        click.secho(_row("all", *map(str, (sum(result.compared for result in results), changed, not_listed))), bold=True)
        if changed:
            click.echo("workers publish what changed, and read deliveries and invoices, as soon as they run")
    if any(result.unanswered for result in results):
        raise Refusal("SIPS did not answer for all of them; `sips-worker doctor` looks at SIPS, then repeat this", status=CANNOT)
    if not_listed:
        raise Refusal("SIPS does not list all of them; look them up there, or ask the branch", status=NO)


def _row(customer: str, compared: str, changed: str, not_listed: str) -> str:
    return _ROW.format(customer=customer, compared=compared, changed=changed, not_listed=not_listed)


def _name(customer: str) -> str:
    return printable(customer) or "(not known)"
