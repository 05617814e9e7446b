"""The demo's story, from the private RabbitMQ to the last line of JSON."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson
import pika
import pika.exceptions

from worker.cli.connection import connected
from worker.cli.demo import examples
from worker.cli.errors import CommandError
from worker.cli.publish import readable
from worker.client import CommandClient
from worker.local.processes import free_ports
from worker.local.rabbitmq import RabbitMQError, rabbitmq
from worker.local.stack import SIGNALS, Sandbox, Service, ServiceError, Worker
from worker.main import make_topology
from worker.messaging.store_mark import STORE, mark_broker
from worker.messaging.topology import DEAD, WATCHES, WEBHOOKS
from worker.settings import check_amqp_url
from worker.store.engine import Store
from worker.store.migrate import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


#: Seconds for everything that was published to come to its end; it takes a few.
END_SECONDS = 60.0

#: Largest body that the demo's workers read, in bytes; small, so that the message beyond it is small as well.
MAX_BYTES = 65_536

WORKERS = 2

#: An order in doubt is looked up for half an hour; here for some seconds.
IMPATIENCE = {"LOOK_SECONDS": "[1, 1, 1]", "ABSENCE_SECONDS": "3", "ABSENCE_AFTER_TROUBLE_SECONDS": "1"}

#: Of the connection that marks the broker, in seconds.
HEARTBEAT = 30

#: Orders live so many times as fast as in reality: two to four days in some seconds.
LIFE_FACTOR = "30000"

#: Types of events, and statuses, that an order has come to when nothing is to come any more.
ENDS = {
    ("sips.order.submit.succeeded", None),
    ("sips.order.status_changed", "Invoiced"),
    ("sips.delivery.completed", None),
    ("sips.invoice.issued", None),
}

#: Seconds without a tick or webhook after which none is on its way: timers are looked at once a second and a half.
QUIET_SECONDS = 2.0

#: Seconds between two looks for dead letters.
LOOK_SECONDS = 0.2

#: Exit status of a command that a signal stopped.
STOPPED = 130

NAME = "sips-worker demo"


@dataclass(slots=True)
class Row:
    """One published message: what it should come to, and what it did."""

    title: str
    id: str | None
    expected: str
    dead_letter: str | None = None
    outcome: str = ""
    found_dead: str | None = None

    @property
    def ended_well(self) -> bool:
        """Whether it got the end it should."""
        outcome_is_right = self.outcome == (self.expected if self.id else "")
        return outcome_is_right and self.found_dead == self.dead_letter


@click.command()
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Keep the log files in this folder.")
def demo(keep: Path | None) -> None:
    """See it all work on this machine.

    Starts RabbitMQ (or uses the one in AMQP_URL), the sandbox and two workers, sends the documented examples and bad
    messages, shows what becomes of them, and stops all that it started. The last line is JSON; exit status 0 only if
    every message came to the end it should.
    """
    for number in SIGNALS:
        signal.signal(number, _stop_everything)
    try:
        with tempfile.TemporaryDirectory(prefix="sips-worker-demo-") as temporary:
            folder = keep or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            ended_well = _demo(folder)
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
        sys.exit(STOPPED)
    except (RabbitMQError, ServiceError) as error:
        raise CommandError(str(error)) from None
    if not ended_well:
        click.secho("not every message came to its end; --keep FOLDER keeps the logs of the next try", fg="red", err=True)
    sys.exit(0 if ended_well else 1)


def _stop_everything(_number: int, _frame: FrameType | None) -> None:
    """The handler of SIGINT, SIGTERM and SIGHUP: the way out stops all that was started, and no second one disturbs it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    os.write(sys.stderr.fileno(), b"\nstopping everything that was started\n")  # a handler may interrupt a buffered write
    raise KeyboardInterrupt


def _demo(folder: Path) -> bool:
    with contextlib.ExitStack() as stack:
        url = _broker(stack)
        (port,) = free_ports(1)
        webhooks = f"http://127.0.0.1:{port}/webhooks/sips"
        sandbox = Sandbox(folder, options=["--live", LIFE_FACTOR, "--webhook", webhooks])
        _start(stack, sandbox)
        _say(f"the sandbox stands in for SIPS at {sandbox.url}; its orders live {LIFE_FACTOR} times as fast as real ones")
        settings = {
            "AMQP_URL": url,
            "SIPS_BASE_URL": sandbox.url,
            "SIPS_ENVIRONMENT": "sandbox",
            "DATABASE_URL": _store(stack, folder, url),
            **IMPATIENCE,
            "MAX_MESSAGE_BYTES": str(MAX_BYTES),
            "UNKNOWN_TYPE_SECONDS": "[1, 1, 1]",
            "THREADS": "8",
            "LOG_FORMAT": "json",
        }
        workers = [Worker(f"worker-{number + 1}", folder, settings) for number in range(WORKERS)]
        for worker in workers:
            _start(stack, worker)
        stack.callback(_tell_to_end, workers)
        receiver = Service("webhook", ["webhook"], folder, settings | {"WEBHOOK_PORT": str(port)})
        _start(stack, receiver)
        _say(f"{WORKERS} workers are starting (sips-worker run), and one receiver of webhooks (sips-worker webhook)")
        run = uuid.uuid4().hex[:6]
        source = f"demo-{run}"
        client = stack.enter_context(CommandClient(url, source=source, bindings=("#",)))
        rows = _publish_everything(client, run, source)
        _follow(client, rows, source)
        rows.append(_lose_an_answer(client, sandbox, run, source))
        rows.append(_fail_at_the_door(client, sandbox, run, source))
        rows.append(_follow_a_life(client, run, source))
        _find_dead_letters(url, rows, source)
        numbers = _count(rows, sandbox.orders())
        _show_a_log_line(workers, rows[-1])
        _show_table(rows)
        receiver.stop()
        _wait_until_idle(url)
        _say("stopping everything that was started")
    click.echo(orjson.dumps(numbers).decode())
    return all(row.ended_well for row in rows) and numbers["duplicates"] == 0


def _start(stack: contextlib.ExitStack, service: Service) -> None:
    """Start a process that is stopped at the end, also if the start itself is interrupted."""
    stack.callback(service.stop)
    service.start()


def _tell_to_end(workers: list[Worker]) -> None:
    """All at once, so that their stops do not add up."""
    for worker in workers:
        worker.tell_to_end()


def _broker(stack: contextlib.ExitStack) -> str:
    given = os.environ.get("AMQP_URL")  # not from `.env`: the demo must not meet a real installation by accident
    if given:
        _check(given)
    else:
        _say("starting a private RabbitMQ on a free port (a few seconds)")
    started = time.monotonic()
    url = stack.enter_context(rabbitmq(given))
    with connected(url, name=NAME) as connection:
        make_topology().declare(connection.channel())
    _say(f"RabbitMQ is ready, exchanges and queues are declared ({time.monotonic() - started:.1f} s)")
    return url


def _store(stack: contextlib.ExitStack, folder: Path, url: str) -> str:
    """The database of the demo's orders, ready to be used: that of DATABASE_URL, or a file that is gone in the end."""
    given = os.environ.get("DATABASE_URL")
    database_url = given or f"sqlite:///{folder / 'demo.db'}"
    migrate(database_url)
    with contextlib.closing(Store(database_url)) as store:
        mark_broker(url, store.id, heartbeat=HEARTBEAT)
    if not given:
        stack.callback(_take_mark_away, url)
    _say(f"orders are written down in {'the database of DATABASE_URL' if given else 'an SQLite file'}")
    return database_url


def _take_mark_away(url: str) -> None:
    """The demo's store is gone in a moment: the broker must not be bound to it."""
    with contextlib.suppress(CommandError, pika.exceptions.AMQPError), connected(url, name=NAME) as connection:
        connection.channel().exchange_delete(STORE)


def _check(url: str) -> None:
    try:
        check_amqp_url(url)
    except ValueError as error:
        raise CommandError(f"AMQP_URL: {error}") from None


def _publish_everything(client: CommandClient, run: str, source: str) -> list[Row]:
    rows = []
    for number, message in enumerate(examples.good_messages(run), start=1):
        command_id = f"{run}-{number}"
        client.publish(message.type, message.data, command_id=command_id, form=message.form, extensions=message.extensions)
        rows.append(Row(f"{message.title}", command_id, message.expected))
    for bad in examples.bad_messages(run, source, MAX_BYTES):
        client.publish_raw(bad.routing_key, bad.body, bad.properties)
        rows.append(Row(f"bad: {bad.title}", bad.id, "failed", dead_letter=bad.reason))
    _say(f"published {len(rows)} commands: documented examples in three forms, and one bad message of each kind\n")
    return rows


def _follow(client: CommandClient, rows: list[Row], source: str) -> None:
    """Show the events as they arrive, until every message that can be answered was."""
    open_rows = {row.id: row for row in rows if row.id and not row.outcome}
    for event in client.events(END_SECONDS):
        if event.get("commandsource") != source:
            continue
        row = open_rows.get(event["causationid"])
        outcome = event["type"].rsplit(".", 1)[-1]
        if row is None or outcome not in {"succeeded", "failed", "unknown"}:
            continue
        row.outcome = outcome
        click.echo(f"  {row.title:<38}  ->  {readable(event)}")
        del open_rows[event["causationid"]]
        if not open_rows:
            return


def _lose_an_answer(client: CommandClient, sandbox: Sandbox, run: str, source: str) -> Row:
    click.echo()
    _say("now SIPS takes an order and the connection breaks before its answer")
    sandbox.set_faults(lost_answer={"rate": 1, "count": 1, "operations": ["ordersV2Submit"]})
    row = Row("order whose answer is lost", f"{run}-lost", "succeeded")
    client.publish("sips.order.submit", examples.order(f"5641-8-{run}-lost"), command_id=row.id)
    _follow(client, [row], source)
    placed = [order for order in sandbox.orders() if order["poNumber"] == f"5641-8-{run}-lost"]
    _say(f"it was not sent again: the worker looked it up and found it; SIPS has {len(placed)} order under that PO number")
    return row


def _fail_at_the_door(client: CommandClient, sandbox: Sandbox, run: str, source: str) -> Row:
    click.echo()
    _say("now SIPS answers an order with 500: it may have it or not, so it is looked up, some times")
    sandbox.set_faults(error_before={"rate": 1, "count": 1, "operations": ["ordersV2Submit"]})
    row = Row("order that SIPS answers with 500", f"{run}-500", "unknown")
    client.publish("sips.order.submit", examples.order(f"5641-8-{run}-500"), command_id=row.id)
    _follow(client, [row], source)
    _say("nobody found it, and nobody sent it again: a person is told to look\n")
    return row


def _follow_a_life(client: CommandClient, run: str, source: str) -> Row:
    """One order from its submit to its invoice: every fact until nothing is to come."""
    _say("now an order is followed to its end: SIPS tells of changes by webhooks, and workers look whether it is so")
    row = Row("order that is delivered and invoiced", f"{run}-life", "succeeded")
    client.publish("sips.order.submit", examples.order(f"5641-8-{run}-life"), command_id=row.id)
    to_come = set(ENDS)
    for event in client.events(END_SECONDS):
        if event.get("commandsource") != source or event["causationid"] != row.id:
            continue
        click.echo(f"  {readable(event)}")
        status = (event["data"].get("current") or {}).get("status")
        to_come -= {(event["type"], None), (event["type"], status)}
        if not to_come:
            row.outcome = "succeeded"
            break
    _say("each change was told once, with its number in the order's sequence and the id of the command that placed it\n")
    return row


def _find_dead_letters(url: str, rows: list[Row], source: str) -> None:
    """Look into `sips.dead` without taking anything out of it, until all that must be there are: they follow `.failed`."""
    by_id = {row.id: row for row in rows}
    deadline = time.monotonic() + END_SECONDS
    while any(row.dead_letter and not row.found_dead for row in rows) and time.monotonic() < deadline:
        with connected(url, name=NAME) as connection:
            for properties in _peek(connection.channel()):
                if properties.app_id == source and properties.message_id in by_id:
                    by_id[properties.message_id].found_dead = (properties.headers or {}).get("sips-reason")
            connection.sleep(LOOK_SECONDS)


def _wait_until_idle(url: str) -> None:
    """Until workers are done with what webhooks told and timers brought: nothing of it shall be left in a RabbitMQ that stays."""
    deadline, quiet_since = time.monotonic() + END_SECONDS, time.monotonic()
    with connected(url, name=NAME) as connection:
        channel = connection.channel()
        while quiet_since + QUIET_SECONDS > time.monotonic() < deadline:
            waiting = (channel.queue_declare(queue, passive=True).method.message_count for queue in (WATCHES, WEBHOOKS))
            if any(waiting):
                quiet_since = time.monotonic()
            connection.sleep(LOOK_SECONDS)


def _peek(channel: Any) -> Iterator[pika.BasicProperties]:
    """The properties of every dead letter; closing the connection puts them all back."""
    while True:
        method, properties, _body = channel.basic_get(DEAD)
        if method is None:
            return
        yield properties


def _count(rows: list[Row], orders: list[dict[str, Any]]) -> dict[str, int]:
    outcomes = Counter(row.outcome for row in rows)
    placed = Counter(order["poNumber"] for order in orders)
    return {
        "commands": len(rows),
        "succeeded": outcomes["succeeded"],
        "failed": outcomes["failed"],
        "unknown": outcomes["unknown"],
        "orders_at_sips": placed.total(),
        "duplicates": placed.total() - len(placed),
        "dead_letters": sum(row.found_dead is not None for row in rows),
    }


def _show_a_log_line(workers: list[Worker], row: Row) -> None:
    for line in (line for worker in workers for line in worker.lines()):
        if line.get("id") == row.id:
            _say("the log line of that attempt, as operators see it:")
            click.echo(click.style(f"  {orjson.dumps(line).decode()}\n", dim=True))
            return


def _show_table(rows: list[Row]) -> None:
    click.secho(f"  {'message':<38}  {'outcome':<10}  {'dead letter':<18}  as it should", bold=True)
    for row in rows:
        mark = click.style("yes", fg="green") if row.ended_well else click.style("NO", fg="red")
        click.echo(f"  {row.title:<38}  {row.outcome or '-':<10}  {row.found_dead or '-':<18}  {mark}")
    click.echo()


def _say(text: str) -> None:
    click.echo(f"{click.style('demo', fg='cyan')}  {text}")
