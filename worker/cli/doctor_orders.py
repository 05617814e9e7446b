"""What `sips-worker doctor` finds out about the store, the orders in it, and SIPS' list of orders."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from worker.cli.fleet_token import kept
from worker.runtime.clock import StoreClock
from worker.runtime.lookup import Lookup
from worker.runtime.order_words import duration
from worker.settings import SettingsError
from worker.sips import Deadline, Sips, SipsClient, SipsError, make_token_source
from worker.store.controls import Controls
from worker.store.engine import Store
from worker.store.errors import StoreError
from worker.store.ledger import Ledger
from worker.store.migrate import check
from worker.store.timers import Timers
from worker.store.tokens import Tokens
from worker.store.transitions import State

if TYPE_CHECKING:
    from worker.settings import Settings

__all__ = ["control_look", "look_at_store"]

#: Seconds that a timer may be late: workers look every second, and a busy one claims a hundred at a time.
LATE_SECONDS = 60.0

#: Seconds after which a secret should be changed: it lives for 180 days, of which its successor is good for the last 30.
OLD_SECONDS = 150 * 86_400.0

NEXT_PAIR = "SIPS_NEXT_CLIENT_ID and SIPS_NEXT_CLIENT_SECRET_FILE"

OK, WRONG, NOTE = (click.style(mark, fg=colour) for mark, colour in (("ok", "green"), ("!!", "red"), ("..", None)))


def look_at_store(settings: Settings) -> bool:
    """Say whether the store can be used, which orders wait for somebody, and whether timers are late; whether all is well."""
    try:
        with contextlib.closing(Store(settings.database_url.get_secret_value())) as store:
            check(store)
            _say(OK, "store", f"it answers, and its tables are those of this release ({store.id})")
            _say_clock(store)
            _say_orders(Ledger(store))
            _say_control(settings, Controls(store))
            _say_credentials(settings, store)
            return _timers_are_in_time(Timers(store))
    except StoreError as error:
        _say(WRONG, "store", str(error))
        return False


def _say_clock(store: Store) -> None:
    clock = StoreClock()
    clock.look(store)
    if clock.is_far_off:
        which = "behind" if clock.behind > 0 else "ahead of"
        advice = "see that both hosts synchronise their clocks (NTP); expirytime goes by the database's, log lines by this one"
        _say(NOTE, "clock", f"this host's is {duration(abs(clock.behind))} {which} the database's: {advice}")


def _say_orders(ledger: Ledger) -> None:
    standing = ledger.standing((State.UNRESOLVED, State.IN_DOUBT, State.QUEUED))
    if State.UNRESOLVED in standing:
        number, _seconds = standing[State.UNRESOLVED]
        waits = "1 waits for a person" if number == 1 else f"{number} wait for a person"
        _say(NOTE, "orders", f"{waits}: `sips-worker orders list --state unresolved`")
    else:
        _say(OK, "orders", "none waits for a person")
    for state, words in ((State.IN_DOUBT, "in doubt"), (State.QUEUED, "in SIPS' queue")):
        if state in standing:
            number, seconds = standing[state]
            oldest = "" if number == 1 else "the oldest "
            _say(NOTE, "orders", f"{number} {words}, {oldest}sent {duration(seconds)} ago; timers look after them")


def _say_control(settings: Settings, controls: Controls) -> None:
    if settings.sips_environment != "sandbox" and not controls.has(settings.base_url):
        advice = "run `sips-worker doctor --order-list PO` with the PO number of an order that SIPS has"
        _say(NOTE, "order list", f"never checked, so no order in doubt is taken to be absent; {advice}")


def _say_credentials(settings: Settings, store: Store) -> None:
    with contextlib.suppress(SettingsError):  # said already
        for credentials, entry in kept(settings, store):
            if entry is not None and entry.used_for > OLD_SECONDS:
                advice = f"SRS lets a secret live for 180 days; ask for the next pair, and set it beside this one: {NEXT_PAIR}"
                age = f"client {credentials.client_id} has had the same secret for {duration(entry.used_for)}"
                _say(NOTE, "credentials", f"{age} ({credentials.pair} pair); {advice}")


def _timers_are_in_time(timers: Timers) -> bool:
    number, seconds = timers.late(LATE_SECONDS)
    if number == 0:
        _say(OK, "timers", "none is late")
        return True
    are = "1 is" if number == 1 else f"{number} are"
    _say(WRONG, "timers", f"{are} late, by up to {duration(seconds)}: no worker does what is due; is `sips-worker run` running?")
    return False


def control_look(settings: Settings, po_number: str) -> bool:
    """Find out whether SIPS lists an order that it has and does not list one that nobody has; written down if so."""
    try:
        with contextlib.closing(Store(settings.database_url.get_secret_value())) as store:
            check(store)
            lookup = Lookup(Ledger(store), Controls(store), settings)
            tokens = make_token_source(settings, storage=Tokens(store))
            sips = Sips(SipsClient(settings, tokens), Deadline.after(settings.sips_call_seconds))
            look = lookup.control(sips, po_number)
    except StoreError as error:
        _say(WRONG, "store", str(error))
        return False
    except SipsError as error:
        _say(WRONG, "order list", f"{error.code}: {error}; the look says nothing, repeat it")
        return False
    if look.known_is_listed:
        _say(OK, "known order", f"PO number {po_number} is listed")
    else:
        advice = "name an order that SIPS has had for half an hour at least; if it still is not listed, ask SIPS why"
        _say(WRONG, "known order", f"PO number {po_number} is not listed; {advice}")
    if look.invented_is_listed:
        advice = "SIPS does not search by PO number here, so its list cannot tell whether it has an order; ask SIPS"
        _say(WRONG, "invented order", f"PO number {look.invented} is listed, and nobody ever ordered it: {advice}")
    else:
        _say(OK, "invented order", f"PO number {look.invented} is not listed")
    if look.passed:
        _say(OK, "order list", "it can be believed, which is written down: an order that it does not list for long is absent")
    return look.passed


def _say(mark: str, name: str, text: str) -> None:
    click.echo(f"  {mark}  {name}: {text}")
