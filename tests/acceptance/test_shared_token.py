"""The shared token under real workers: credentials that change, and a token endpoint that is away for long."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import orjson

from tests.acceptance.test_commands import SUBMIT, order
from tests.acceptance.test_outage import DOWN, PROBING, UP, all_succeeded, facts, reads, told
from tests.acceptance.test_process import consuming
from tests.leaks import leaked
from worker.runtime.service import SIPS_DOWN
from worker.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.amqp import EventTap
    from worker.client import CommandClient
    from worker.local.stack import Worker

OLD, NEW = "Tr0ub4dor-and-3", "c0rrect-horse-battery"


def test_credentials_are_rotated_while_commands_are_carried_out(
    amqp_url: str, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker], tmp_path: Path
) -> None:
    """SIPS drops the current pair and its token: no command fails or waits, two workers ask for one more token."""
    clients = {"us": OLD, "us-2": NEW}
    with Sandbox(credentials=clients) as sips:
        settings = {
            "SIPS_BASE_URL": sips.url,
            "SIPS_CLIENT_ID": "us",
            "SIPS_CLIENT_SECRET": OLD,
            "SIPS_NEXT_CLIENT_ID": "us-2",
            "SIPS_NEXT_CLIENT_SECRET": NEW,
            "SIPS_TOKEN_MIN_AGE_SECONDS": "0",
        }
        workers = [make_worker(amqp_url, **settings) for _ in range(2)]
        for worker in workers:
            consuming(worker)
        commands = [*reads(client, 40), *(client.publish(SUBMIT, order()) for _ in range(10))]
        tap.outcome(commands[5])
        issued = set(sips._state._tokens)

        del clients["us"]
        sips._state._tokens.clear()

        commands += [*reads(client, 40), *(client.publish(SUBMIT, order()) for _ in range(10))]
        all_succeeded(tap, commands, amqp_url)
        assert [] == facts(tap)
        assert 2 == sips._state.tokens_issued
        for worker in workers:
            assert 0 == worker.stop()
        issued |= set(sips._state._tokens)
    logs = "".join(worker.log.read_text(encoding="utf-8") for worker in workers)
    files = b"".join(file.read_bytes() for file in tmp_path.glob("store.db*"))
    told_of = {line["event"] for worker in workers for line in worker.lines()}
    assert {"SIPS token fetched", "SIPS token taken from the store"} <= told_of
    assert [] == leaked([OLD, NEW, *issued], logs.encode() + files + orjson.dumps(tap.events))


def test_a_token_endpoint_that_is_away_for_longer_than_the_token_lives_fails_nothing(
    amqp_url: str, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker]
) -> None:
    """Commands are carried out until the token's end, then the gates close; work goes on by itself."""
    with Sandbox() as sips:
        sips._faults.replace({"token_short": {"expires_in": 2, "count": 1}})
        worker = make_worker(amqp_url, **PROBING, SIPS_BASE_URL=sips.url)
        commands = reads(client, 10)
        all_succeeded(tap, commands, amqp_url)
        sips._faults.replace({"token_error": {"status": 503}})
        while not facts(tap):
            commands += reads(client, 2)
            tap.wait(functools.partial(_went_on, tap, commands[-1]), "it ends, or SIPS is down")
        told(tap, (DOWN, SIPS_DOWN))

        sips._faults.replace({})

        all_succeeded(tap, commands, amqp_url)
        told(tap, (DOWN, SIPS_DOWN), (UP, SIPS_DOWN))
        assert 2 == sips._state.tokens_issued
        assert 0 == worker.stop()


def _went_on(tap: EventTap, command: str, _events: Any) -> bool:
    return bool(facts(tap) or tap.outcomes(command))
