"""`sips-worker token` and what doctor says of credentials."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from tests.cli.conftest import CLIENT_SECRET
from tests.sips.making import ample
from worker.sandbox import Sandbox
from worker.settings import Settings
from worker.sips import TokenManager, make_token_source
from worker.sips.errors import TokenRefused
from worker.store.engine import Store
from worker.store.schema import tokens as table
from worker.store.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import CommandLine, Done

DATABASE_URL = "sqlite:///store.db"
NEXT_SECRET = "c0rrect-horse-battery"


@pytest.fixture
def store(sqlite_url: str) -> Iterator[Store]:
    """The store that lies in the folder that the command is run in."""
    with contextlib.closing(Store(sqlite_url)) as opened:
        yield opened


@pytest.fixture
def both() -> Iterator[Sandbox]:
    """SIPS during a rotation: it takes both pairs."""
    with Sandbox(credentials={"us": CLIENT_SECRET, "us-2": NEXT_SECRET}) as started:
        yield started


def shown(sips_worker: CommandLine, sandbox: Sandbox, **others: str) -> Done:
    """What the command says; never a secret."""
    ours = {"SIPS_BASE_URL": sandbox.url, "SIPS_CLIENT_ID": "us", "DATABASE_URL": DATABASE_URL}
    done = sips_worker.run("token", **ours | others)
    assert NEXT_SECRET not in done.out + done.err
    return done


def manager(sandbox: Sandbox, store: Store, **others: str) -> TokenManager:
    """The token of a worker with the credentials of the command line."""
    values = {"sips_base_url": sandbox.url, "sips_client_id": "us", "sips_client_secret": CLIENT_SECRET, **others}
    settings = Settings(_env_file=None, sips_environment="sandbox", **values)  # type: ignore[arg-type]
    return make_token_source(settings, storage=Tokens(store))


def test_without_a_token_it_says_so(store: Store, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """With exit status 1."""
    done = shown(sips_worker, sandbox, SIPS_NEXT_CLIENT_SECRET=NEXT_SECRET)

    assert (1, "") == (done.status, done.err)
    never = "  token       never fetched with this pair"
    assert [f"sandbox at {sandbox.url}", "current pair, client us", never, "next pair, client us", never] == done.out.splitlines()


def test_a_token_is_described_and_not_shown(store: Store, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """Its fingerprint names it in log lines too."""
    token = manager(sandbox, store).get(ample())
    with store.write() as connection:
        connection.execute(update(table).values(obtained_at=table.c.obtained_at - 7_200))

    done = shown(sips_worker, sandbox)

    assert 0 == done.status
    assert token.value not in done.out
    assert re.fullmatch(
        rf"sandbox at {sandbox.url}\ncurrent pair, client us, the one in use\n"
        rf"  token       fingerprint {token.fingerprint}, fetched 2 h ago, to be refreshed in 24 h, expires in 24 h\n"
        r"  known       for \d+ s\n",
        done.out,
    )


def test_the_pair_in_use_is_named(store: Store, both: Sandbox, sips_worker: CommandLine) -> None:
    """The one whose token is newest, which is how the workers agree on it."""
    manager(both, store).get(ample())
    with store.write() as connection:
        connection.execute(update(table).values(obtained_at=table.c.obtained_at - 7_200))
    manager(both, store, sips_client_id="us-2", sips_client_secret=NEXT_SECRET).get(ample())

    done = shown(sips_worker, both, SIPS_NEXT_CLIENT_ID="us-2", SIPS_NEXT_CLIENT_SECRET=NEXT_SECRET)

    titles = [line for line in done.out.splitlines() if " pair, " in line]
    assert ["current pair, client us", "next pair, client us-2, the one in use"] == titles


def test_a_secret_that_cannot_be_read_is_shown(store: Store, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """Beside the pair that can."""
    done = shown(sips_worker, sandbox, SIPS_NEXT_CLIENT_SECRET_FILE="/nowhere")

    assert "SIPS_NEXT_CLIENT_SECRET_FILE=/nowhere cannot be read (FileNotFoundError); check the path and its permissions" in (
        done.out.splitlines()
    )


def test_the_last_error_stays_in_sight(store: Store, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """With its answers; and who is fetching a token now."""
    with pytest.raises(TokenRefused):
        manager(sandbox, store, sips_client_id="them").get(ample())
    with store.write() as connection:
        connection.execute(update(table).values(owner="host/1/a", lease_until=table.c.failed_at + 60))

    done = shown(sips_worker, sandbox, SIPS_CLIENT_ID="them")

    assert 1 == done.status
    assert re.search(
        rf"  token       none yet\n  refresh     host/1/a is fetching one, for \d+ s at most\n"
        rf"  last error  \d+ s ago; 1 in a row: sips-token-refused: {sandbox.url} refused client them \(current pair\)",
        done.out,
    )


def test_an_expired_token_is_none(store: Store, sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """Exit status 1, for a script."""
    manager(sandbox, store).get(ample())
    with store.write() as connection:
        connection.execute(update(table).values(expires_at=table.c.obtained_at - 300))

    done = shown(sips_worker, sandbox)

    assert (1, True) == (done.status, "expired 5 min ago" in done.out)


def test_a_store_that_cannot_be_used_is_one_line(sandbox: Sandbox, sips_worker: CommandLine) -> None:
    """And exit status 2."""
    done = shown(sips_worker, sandbox, DATABASE_URL="sqlite:///nowhere.db")

    assert (2, 1, "") == (done.status, len(done.err.splitlines()), done.out)
    assert done.err.startswith("sips-worker: the store cannot be used: ")


@pytest.mark.parametrize(("days", "is_told"), [(149, False), (151, True)])
def test_doctor_tells_of_a_secret_that_is_old(
    store: Store, sandbox: Sandbox, sips_worker: CommandLine, days: int, is_told: bool
) -> None:
    """While there are 30 days left in which the next one is good as well."""
    manager(sandbox, store).get(ample())
    with store.write() as connection:
        connection.execute(update(table).values(used_since=table.c.used_since - days * 86_400))

    ours = {"SIPS_BASE_URL": sandbox.url, "SIPS_CLIENT_ID": "us", "DATABASE_URL": DATABASE_URL, "AMQP_URL": "amqp://127.0.0.1:1"}
    done = sips_worker.run("doctor", **ours)

    told = [line for line in done.out.splitlines() if "credentials: " in line]
    assert is_told == bool(told)
    if told:
        assert told[0].startswith(f"  ..  credentials: client us has had the same secret for {days} d (current pair); SRS lets")


def test_doctor_gives_what_it_fetches_to_the_workers(store: Store, both: Sandbox, sips_worker: CommandLine) -> None:
    """Both pairs are looked at, one request for each; the workers stay with theirs, and the probe asks for none."""
    second = {"SIPS_NEXT_CLIENT_ID": "us-2", "SIPS_NEXT_CLIENT_SECRET": NEXT_SECRET}
    ours = {"SIPS_BASE_URL": both.url, "SIPS_CLIENT_ID": "us", "DATABASE_URL": DATABASE_URL, "AMQP_URL": "amqp://127.0.0.1:1"}

    done = sips_worker.run("doctor", **ours | second)

    for pair in ("us (current pair)", "us-2 (next pair)"):
        assert f"  ok  token: SIPS gave one to client {pair}, valid for 86400 s\n" in done.out
    assert 2 == both._state.tokens_issued
    manager(both, store).get(ample())
    assert 2 == both._state.tokens_issued
