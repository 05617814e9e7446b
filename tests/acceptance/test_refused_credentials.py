"""Credentials that SIPS does not take: an error that says what to check, closed gates, and no command that fails."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pytest

from tests.acceptance.test_outage import DOWN, QUICKLY, UP, all_succeeded, attempts, closings, reads, told, waiting
from tests.amqp import eventually
from tests.leaks import leaked
from tests.sips.servers import CERTIFICATE, Server, answer
from worker.messaging.topology import QUERIES
from worker.runtime.service import CONFIGURATION_REFUSED
from worker.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.amqp import EventTap
    from tests.sips.servers import Peer
    from worker.client import CommandClient
    from worker.local.stack import Worker

WRONG, RIGHT, NEXT = "Tr0ub4dor-and-3", "c0rrect-horse-battery", "staple-the-third"

#: What a worker needs in production.
PRODUCTION = {
    "SIPS_ENVIRONMENT": "production",
    "SIPS_SOURCE_SYSTEM": "Us",
    "SIPS_TIME_ZONE": "America/Chicago",
    "SQLITE_SINGLE_HOST": "1",
    "REQUESTS_CA_BUNDLE": str(CERTIFICATE),
}


def behind_tls(sips: Sandbox) -> Server:
    """SIPS outside the sandbox is called by https alone."""

    def forward(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            kept = {name: request.headers[name] for name in ("content-type", "authorization") if name in request.headers}
            asked = urllib.request.Request(sips.url + request.target, request.body or None, kept, method=request.method)
            try:
                with urllib.request.urlopen(asked) as got:
                    peer.send(answer(got.read(), got.status))
            except HTTPError as refusal:
                with refusal:
                    peer.send(answer(refusal.read(), refusal.code))

    return Server(forward, tls=True)


@pytest.mark.parametrize("environment", ["sandbox", "production"])
def test_bad_credentials_fail_no_command_and_are_mended_in_their_file(
    amqp_url: str, tap: EventTap, client: CommandClient, make_worker: Callable[..., Worker], tmp_path: Path, environment: str
) -> None:
    """A client with a wrong secret (such as that of QA in production), and one that SIPS does not know: both are named."""
    secret = tmp_path / "secret"
    secret.write_text(WRONG, encoding="utf-8")
    with Sandbox(credentials={"partner-7": RIGHT}) as sips, behind_tls(sips) as production:
        url, others = (sips.url, {}) if environment == "sandbox" else (production.url, PRODUCTION)
        settings = {
            "SIPS_BASE_URL": url,
            "SIPS_CLIENT_ID": "partner-7",
            "SIPS_CLIENT_SECRET_FILE": str(secret),
            "SIPS_NEXT_CLIENT_ID": "partner-8",
            "SIPS_NEXT_CLIENT_SECRET": NEXT,
        }
        worker = make_worker(amqp_url, **QUICKLY, **settings, **others)
        commands = reads(client, 10)
        told(tap, (DOWN, CONFIGURATION_REFUSED))
        eventually(lambda: waiting(amqp_url) == {QUERIES: 10}, "every command is back in its queue")
        assert [] == [command for command in commands if tap.outcomes(command)]
        (line,) = closings(worker, CONFIGURATION_REFUSED)
        assert ("error", url, "partner-7") == (line["level"], line["base_url"], line["client_id"])
        for part in (
            f"{url} refused client partner-7 (current pair): HTTP 401 (Unauthorized) to the form, ",
            "HTTP 401 (Unauthorized) to JSON; ",
            f"{url} refused client partner-8 (next pair): HTTP 401 (",
            "check client id and client secret, and that they were issued for this address",
            f"(SIPS_ENVIRONMENT={environment})",
        ):
            assert part in line["found"]
        assert "SIPS_CLIENT_ID, the client secret or its file, and that both belong to this base URL" in line["check"]

        secret.write_text(RIGHT, encoding="utf-8")

        all_succeeded(tap, commands, amqp_url)
        assert {1} == attempts(tap, commands)
        told(tap, (DOWN, CONFIGURATION_REFUSED), (UP, CONFIGURATION_REFUSED))
        assert 1 == len(closings(worker, CONFIGURATION_REFUSED))
        assert 0 == worker.stop()
        assert [] == leaked([WRONG, RIGHT, NEXT, *sips._state._tokens], worker.log.read_bytes())
