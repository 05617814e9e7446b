"""`sips-worker dead`: look at the dead letters, run them again, or drop them."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections import Counter
from typing import TYPE_CHECKING

import click
import orjson
import pika.exceptions
import structlog

from worker import settings as settings_module
from worker.cli.connection import connected
from worker.cli.dead_filters import filters
from worker.cli.dead_letter_text import ADVICE, DEFAULT_ADVICE, as_object, as_row, details, printable, whole
from worker.cli.dead_orders import DeadOrders
from worker.cli.keep_file import KeepFile
from worker.main import queues_of_commands
from worker.messaging import redrive as redriving
from worker.messaging.connection import describe
from worker.messaging.dead_letters import DeadLetterQueue, Selection
from worker.messaging.publisher import Message, Publisher, PublishError, PublishTimeoutError
from worker.messaging.topology import DEAD, TopologyError
from worker.runtime.redrive import RedriveError
from worker.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings

__all__ = ["dead"]

#: Exit status when what was asked for is not there, or could not be done for every letter.
NOT_DONE = 1

#: Seconds of the heartbeat: a person may read a page of the list for minutes before the next is fetched.
HEARTBEAT = 600

#: AMQP's reply code for a queue that is not there.
NOT_FOUND = 404

#: Dead letters that are written to a file, and then removed, together.
BATCH = 200


@click.group()
def dead() -> None:
    """Look at the dead letters, run them again, or drop them."""


@dead.command(name="list")
@filters
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def list_letters(selection: Selection, limit: int | None, as_json: bool) -> None:
    """List the dead letters, and count them.

    In RabbitMQ's order, by reason; nothing is taken out.
    """
    reasons: Counter[str] = Counter()
    with opened(settings_module.load()) as letters:
        for held in letters.select(selection, limit):
            reasons[held.letter.reason] += 1
            click.echo(orjson.dumps(as_object(held.letter)).decode() if as_json else as_row(held.letter))
    for reason, number in reasons.most_common():
        click.echo(f"{number:>8}  {printable(reason)}", err=as_json)
    if not reasons:
        click.echo("no dead letter" + ("" if selection == Selection() else " that matches"), err=as_json)


@dead.command()
@click.argument("key", metavar="ID")
@click.option("--payload", is_flag=True, help="Also print the body: it may hold names and addresses.")
def show(key: str, payload: bool) -> None:
    """Show the dead letters with an ID whole.

    Everything about them, and what to do next; exit status 1 if there is none.
    """
    found = 0
    with opened(settings_module.load()) as letters:
        for held in letters.select(Selection(keys=frozenset({key}))):
            found += 1
            for line in details(held, payload=payload):
                click.echo(line)
            click.secho(f"next     {ADVICE.get(held.letter.reason, DEFAULT_ADVICE)}\n", fg="cyan")
    if not found:
        click.secho(f"no dead letter has the id {printable(key)}", fg="red", err=True)
        sys.exit(NOT_DONE)


@dead.command()
@filters
@click.option("--yes", is_flag=True, help="Do it; without it, only say what would be done.")
def redrive(selection: Selection, limit: int | None, yes: bool) -> None:
    """Run dead letters again.

    Each goes back to its queue as a new run; exit status 1 if one could not.
    """
    settings = settings_module.load()
    queues, orders = queues_of_commands(), DeadOrders(settings)
    done, stayed = 0, 0
    with opened(settings) as letters, publishing(settings, wanted=yes) as publisher:
        for held in letters.select(selection, limit):
            queue = redriving.target(held.letter, queues)
            try:
                run = orders.next_run(held, queue, allow=yes)
                message = redriving.message(held, queue or "", run)
                objection = _publish(publisher, message, settings) if yes else None
            except (RedriveError, StoreError) as error:
                objection = str(error)
            if objection:
                stayed += 1
            else:
                done += 1
            if yes and not objection:
                letters.remove(held.tag)
            click.echo(as_row(held.letter))
            click.echo(f"    stays: {objection}" if objection else f"    -> {queue}, run {run}")
    _sum_up(done, "run again", stayed=stayed, yes=yes)


@dead.command()
@filters
@click.option("--save", type=click.Path(dir_okay=False), help="First write them whole to this new file, as JSON lines.")
@click.option("--yes", is_flag=True, help="Do it; without it, only say what would be done.")
def drop(selection: Selection, limit: int | None, save: str | None, yes: bool) -> None:
    """Delete dead letters for good."""
    done = 0
    with opened(settings_module.load()) as letters, KeepFile(save if yes else None) as file:
        batch: list[int] = []
        for held in letters.select(selection, limit):
            done += 1
            click.echo(as_row(held.letter))
            if yes:
                if save:
                    file.write(whole(held))
                batch.append(held.tag)
            if len(batch) >= BATCH:
                _remove(letters, file, batch)
        _remove(letters, file, batch)
    _sum_up(done, "deleted", stayed=0, yes=yes)


def _remove(letters: DeadLetterQueue, file: KeepFile, batch: list[int]) -> None:
    """What is in the file, and safely there, may go."""
    file.sync()
    for tag in batch:
        letters.remove(tag)
    batch.clear()


def _publish(publisher: Publisher, message: Message, settings: Settings) -> str | None:
    """Why RabbitMQ did not take it, or None.

    Raises:
        TopologyError: it takes nothing at all.
    """
    try:
        publisher.publish(message, timeout=settings.publish_seconds)
    except PublishTimeoutError as error:
        raise TopologyError(f"RabbitMQ takes no message ({error}); what was not run again is still in {DEAD}") from None
    except PublishError as error:
        return str(error)
    return None


def _sum_up(done: int, what: str, *, stayed: int, yes: bool) -> None:
    rest = f", {stayed} stay" if stayed else ""
    if yes:
        click.echo(f"{done} {what}{rest}")
    else:
        click.echo(f"{done} would be {what}{rest}; nothing was done: add --yes to do it")
    if stayed:
        sys.exit(NOT_DONE)


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[DeadLetterQueue]:
    """The queue of dead letters.

    Raises:
        CommandError: RabbitMQ cannot be reached.
        TopologyError: it went away, or has no such queue.
    """
    url = settings.amqp_url.get_secret_value()
    with connected(url, heartbeat=HEARTBEAT) as connection, _named_queue(), DeadLetterQueue(connection) as letters:
        yield letters


@contextlib.contextmanager
def _named_queue() -> Iterator[None]:
    """Say of an error what it means for the dead letters."""
    try:
        yield
    except pika.exceptions.ChannelClosedByBroker as error:
        advice = "; declare it with `sips-worker topology declare`" if error.reply_code == NOT_FOUND else ""
        raise TopologyError(f"{DEAD}: {error.reply_text}{advice}") from None
    except pika.exceptions.AMQPError as error:
        raise TopologyError(f"RabbitMQ went away ({describe(error)}); what was not done is still in {DEAD}") from None


@contextlib.contextmanager
def publishing(settings: Settings, *, wanted: bool) -> Iterator[Publisher]:
    """A publisher; it connects where it is wanted."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    publisher = Publisher(
        settings.amqp_url.get_secret_value(), name="sips-worker dead redrive", heartbeat=settings.amqp_heartbeat
    )
    if wanted:
        publisher.start()
    try:
        yield publisher
    finally:
        if wanted:
            publisher.stop(timeout=2.0)
