"""No token and no secret stands where somebody can read it: a real worker, a SIPS that tells what it was sent, a broken store."""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from tests.acceptance.conftest import example
from tests.acceptance.test_commands import PRICES, SUBMIT, order
from tests.acceptance.test_outage import DOWN, QUICKLY, all_succeeded, reads, told
from tests.acceptance.test_process import children
from tests.amqp import copies, take_all
from tests.databases import contents
from tests.leaks import leaked
from worker.runtime.service import CONFIGURATION_REFUSED
from worker.sandbox import Sandbox
from worker.sandbox.calls import Answer
from worker.sandbox.wire import Reply, Request, json_reply
from worker.store.engine import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Worker

WRONG, OLD, NEW = "c0rrect-horse-battery", "Tr0ub4dor-and-3", "staple-the-third"


class Talkative(Sandbox):
    """SIPS whose refusals show what it was sent: credentials and token."""

    def _refused(self, operation: str, customer: str | None, request: Request) -> Reply | None:
        refusal = super()._refused(operation, customer, request)
        return refusal and json_reply(refusal.status, {"message": _received(request)})

    def _work(self, found: Any, request: Request, body: Any) -> Answer:
        answer = super()._work(found, request, body)
        return answer if answer.status == HTTPStatus.OK else Answer(answer.status, {"message": _received(request)})


def _received(request: Request) -> str:
    return f"no: {request.raw.decode()} with {request.headers.get('authorization')}"


@contextlib.contextmanager
def without_its_table(store: Store) -> Iterator[None]:
    """The store fails with a fault of its own, whose text is SQL, wherever it is asked for a token."""
    for before, after in (("tokens", "hidden"), ("hidden", "tokens")):
        with store.write() as connection:
            connection.execute(text(f"ALTER TABLE {before} RENAME TO {after}"))
        if before == "tokens":
            yield


def test_nothing_that_anybody_can_read_shows_a_token_or_a_secret(
    amqp_url: str, store_url: str, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    """Logs, all messages, the store and the list of processes, although SIPS tells what it was sent and the store breaks."""
    secret, clients = tmp_path / "secret", {"us": OLD}
    secret.write_text(WRONG, encoding="utf-8")
    with Talkative(credentials=clients) as sips, copies(amqp_url) as published:
        settings = {
            "SIPS_BASE_URL": sips.url,
            "SIPS_CLIENT_ID": "us",
            "SIPS_CLIENT_SECRET_FILE": str(secret),
            "SIPS_NEXT_CLIENT_SECRET": NEW,
            "SIPS_TOKEN_MIN_AGE_SECONDS": "0",
            "DATABASE_URL": store_url,
        }
        worker = make_worker(amqp_url, **QUICKLY, **settings)
        commands = [*reads(client, 4), client.publish(SUBMIT, order())]
        told(tap, (DOWN, CONFIGURATION_REFUSED))
        listed = b"".join(
            Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (worker.process.pid, *children(worker.process.pid))
        )
        secret.write_text(OLD, encoding="utf-8")
        all_succeeded(tap, commands, amqp_url)

        sips._faults.replace({"error_before": {"status": 400, "customers": ["OTHER"]}})
        bad = {PRICES: example("productsV2Price.request"), SUBMIT: order()}
        refused = [client.publish(kind, payload | {"customerCode": "OTHER"}) for kind, payload in bad.items()]
        assert {"sips-rejected"} == {tap.outcome(command)["data"]["type"] for command in refused}

        issued = set(sips._state._tokens)
        with contextlib.closing(Store(store_url)) as store, without_its_table(store):
            sips._state._tokens.clear()
            all_succeeded(tap, reads(client, 4), amqp_url)
        assert 0 == worker.stop()
        messages = repr(take_all(amqp_url, published)).encode()
    issued |= set(sips._state._tokens)
    logs = worker.log.read_bytes()
    for shown, expected in (
        (logs, b"sips-token-refused"),
        (logs, b"the store cannot be used; this process looks after its token alone"),
        (messages, b"sips.service.down"),
        (messages, b".failed"),
        (contents(store_url), b"sips-token-refused"),
        (listed, b"worker"),
    ):
        assert expected in shown
        assert [] == leaked([OLD, NEW, WRONG, *issued], shown)
