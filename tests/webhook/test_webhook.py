"""The receiver as a process, with a real RabbitMQ behind it that comes and goes."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.amqp import channel, eventually, purge, take_all
from tests.proxy import Proxy
from tests.webhook.calling import (
    EVENT,
    HEADER_SECRET,
    HMAC_SECRET,
    NEXT_PATH_SECRET,
    PATH_SECRET,
    Receiver,
    head,
    read_answer,
)
from worker.local.stack import Service
from worker.main import make_topology
from worker.messaging.topology import WEBHOOKS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Where SIPS calls.
ADDRESS = "/webhooks/sips"

MEBIBYTE = 1_048_576


@pytest.fixture(scope="module")
def proxy(shared_url: str) -> Iterator[tuple[Proxy, str]]:
    """RabbitMQ behind a proxy, and the address of that."""
    made, url = Proxy.of(shared_url)
    with made:
        yield made, url


@pytest.fixture(scope="module")
def running(proxy: tuple[Proxy, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """One for all tests of this file, which leave it as it was."""
    with Receiver(tmp_path_factory.mktemp("webhook"), proxy[1]) as started:
        yield started


@pytest.fixture
def receiver(running: Receiver, shared_url: str) -> Receiver:
    """It, ready, with nothing in RabbitMQ."""
    running.wait_until(200)
    purge(shared_url)
    return running


def hints(url: str) -> list[dict[str, Any]]:
    """What is in the queue."""
    return [json.loads(body) for _properties, body in take_all(url, WEBHOOKS)]


def test_an_event_is_in_rabbitmq_when_it_is_answered(receiver: Receiver, shared_url: str) -> None:
    """Persistent, as a CloudEvent whose id is that of a repetition too, with what was read and what came."""
    answers = [receiver.post(EVENT), receiver.post(EVENT)]

    assert [(200, b'{"accepted":1}\n')] * 2 == [(answer.status, answer.body) for answer in answers]
    (properties, body), (_again, repeated) = take_all(shared_url, WEBHOOKS)
    event = json.loads(body)
    assert (2, event["id"], "application/cloudevents+json", "sips.webhook.received") == (
        properties.delivery_mode,
        properties.message_id,
        properties.content_type,
        properties.type,
    )
    assert event["id"] == json.loads(repeated)["id"]
    assert ("1.0", "sips-webhook/sandbox", "sandbox") == (event["specversion"], event["source"], event["environment"])
    assert (True, EVENT, "PO-77") == (event["data"]["recognized"], event["data"]["body"], event["data"]["fields"]["reference"])


def test_an_array_is_published_event_by_event(receiver: Receiver, shared_url: str) -> None:
    """In its order."""
    assert b'{"accepted":3}\n' == receiver.post([EVENT, EVENT | {"eventType": "DU"}, {"new": 1}]).body

    assert ["OU", "DU", None] == [hint["data"]["fields"].get("type") for hint in hints(shared_url)]


def test_what_nobody_can_read_is_published_too(receiver: Receiver, shared_url: str) -> None:
    """Marked, with every byte; JSON that is too deep for a parser, an encoder or a worker is bytes like any other."""
    deep = [b'{"eventId":' * depth + b"1" + b"}" * depth for depth in (2_000, 500, 100)]
    assert [200] * 3 == [receiver.call(body).status for body in deep]
    found = [hint["data"] for hint in hints(shared_url)]
    assert [(False, {}, body) for body in deep] == [
        (data["recognized"], data["fields"], base64.b64decode(data["bodyBase64"])) for data in found
    ]

    assert [200, 200] == [receiver.call(b"\xffping").status, receiver.call(b'{"a":12345678901234567890123}').status]
    raw, unknown = (hint["data"] for hint in hints(shared_url))
    assert (False, b"\xffping") == (raw["recognized"], base64.b64decode(raw["bodyBase64"]))
    assert (False, {"a": 12345678901234567890123}) == (unknown["recognized"], unknown["body"])


@pytest.mark.parametrize(
    ("status", "changed"),
    [
        (404, {"path": ADDRESS}),
        (404, {"path": f"{ADDRESS}/{PATH_SECRET}x"}),
        (404, {"path": "/livez"}),
        (404, {"path": "/", "method": "GET"}),
        (405, {"method": "GET"}),
        (401, {"X_Partner_Key": "wrong"}),
        (401, {"X_Partner_Key": None}),
        (401, {"X_Signature": "sha256=00"}),
        (401, {"X_Signature": None}),
    ],
)
def test_whoever_is_not_verified_learns_nothing(
    receiver: Receiver, shared_url: str, status: int, changed: dict[str, Any]
) -> None:
    """And nothing of it is published."""
    answer = receiver.call(json.dumps(EVENT).encode(), **changed)

    assert (status, b"{}\n", []) == (answer.status, answer.body, hints(shared_url))
    assert "server" not in {name.lower() for name in answer.headers}


def test_the_next_secret_is_taken_as_well(receiver: Receiver) -> None:
    """While SRS changes over."""
    assert 200 == receiver.call(b"{}", path=f"{ADDRESS}/{NEXT_PATH_SECRET}").status


def test_a_huge_body_is_refused_unread(receiver: Receiver) -> None:
    """By what it says of itself, and one that says nothing by what comes."""
    with receiver.open(length=100 * MEBIBYTE) as opened:
        assert read_answer(opened).startswith(b"HTTP/1.1 413 ")
    with receiver.open() as opened:
        opened.sendall(head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        with contextlib.suppress(OSError):
            for _ in range(4):
                opened.sendall(b"80000\r\n" + b"x" * 0x80000 + b"\r\n")
        assert read_answer(opened).startswith(b"HTTP/1.1 413 ")

    assert 200 == receiver.post(EVENT).status


def test_a_caller_who_sends_a_huge_body_whole_hears_the_answer(receiver: Receiver) -> None:
    """It is not lost with what was not read."""
    assert 413 == receiver.call(b"x" * (8 * MEBIBYTE)).status


def test_half_a_body_ends_in_time_and_holds_nobody_up(receiver: Receiver, shared_url: str) -> None:
    """Whether the rest does not come, or the caller leaves; nothing of it is published."""
    with receiver.open(length=100, sent=b'{"eventId"') as slow, receiver.open(length=100, sent=b"{") as gone:
        gone.close()
        assert 200 == receiver.post(EVENT).status
        assert read_answer(slow).startswith(b"HTTP/1.1 408 ")

    assert 1 == len(hints(shared_url))


def test_idle_connections_hold_nobody_up(receiver: Receiver) -> None:
    """Nor those that have begun a request."""
    with contextlib.ExitStack() as opened:
        for number in range(200):
            silent = opened.enter_context(receiver.open())
            if number % 2:
                silent.sendall(b"POST / HTTP/1.1\r\nHost: ")
        assert [200] * 5 == [receiver.post(EVENT).status for _ in range(5)]


@pytest.mark.parametrize("start", [b"POST / HTTP/1.1\r\nX-Long: ", b"POST /"])
def test_endless_headers_are_given_up(receiver: Receiver, start: bytes) -> None:
    """They would fill the memory."""
    with receiver.open() as opened, pytest.raises(ConnectionError):
        opened.sendall(start + b"x" * (32 * MEBIBYTE))

    assert 200 == receiver.post(EVENT).status


def test_what_is_no_http_is_answered_and_closed(receiver: Receiver) -> None:
    """A port scanner, say."""
    with receiver.open() as opened:
        opened.sendall(b"\x16\x03\x01\x02\x00\r\n\r\n")
        assert read_answer(opened).startswith(b"HTTP/1.1 400 ")

    assert 200 == receiver.post(EVENT).status


def test_rabbitmq_away_and_back(receiver: Receiver, proxy: tuple[Proxy, str], shared_url: str) -> None:
    """503 meanwhile, and the sender is told when to repeat; live all the time, ready again by itself."""
    with proxy[0].away():
        receiver.wait_until(503)
        answer = receiver.post(EVENT)
        assert (503, "5", 200) == (answer.status, answer.headers["retry-after"], receiver.get("/livez").status)
    receiver.wait_until(200)

    assert (200, 1) == (receiver.post(EVENT).status, len(hints(shared_url)))


def test_rabbitmq_that_hangs_is_answered_503(receiver: Receiver, proxy: tuple[Proxy, str]) -> None:
    """Nobody knows yet that it is away: the confirm that does not come says so."""
    with proxy[0].hanging():
        assert 503 == receiver.post(EVENT).status


def test_a_queue_that_was_deleted_is_made_again(receiver: Receiver, shared_url: str) -> None:
    """A sender that repeats gets its 200."""
    with channel(shared_url) as opened:
        opened.queue_delete(WEBHOOKS)

    eventually(lambda: receiver.post(EVENT).status == 200, "it was taken")

    assert 1 <= len(hints(shared_url))


def test_health_is_told_at_its_own_port_only(receiver: Receiver) -> None:
    """Where strangers call there is none."""
    assert [200, 200, 404] == [receiver.get(path).status for path in ("/livez", "/readyz", f"{ADDRESS}/{PATH_SECRET}")]


def test_sigterm_ends_what_runs_and_tells_what_was_refused(shared_url: str, tmp_path: Path) -> None:
    """A body that is on its way is taken to its end, no new call is; refused calls stand on one line, and no secret anywhere."""
    with Receiver(tmp_path, shared_url, WEBHOOK_BODY_SECONDS="20", WEBHOOK_HMAC_HEADER="", WEBHOOK_HMAC_SECRET="") as receiver:
        receiver.wait_until(200)
        purge(shared_url)
        assert [404, 404, 401] == [
            receiver.call(b"", path=ADDRESS).status,
            receiver.call(b"", path="/").status,
            receiver.call(b"", X_Partner_Key="wrong").status,
        ]
        body = json.dumps(EVENT).encode()
        with receiver.open(length=len(body), sent=body[:9]) as opened, receiver.open():
            assert 200 == receiver.post(EVENT).status  # the half call was read by now
            receiver.signal(signal.SIGTERM)
            eventually(lambda: not _listens(receiver), "no call is taken any more")
            opened.sendall(body[9:])
            assert read_answer(opened).startswith(b"HTTP/1.1 200 ")
        assert 0 == receiver.wait(30)

    assert 2 == len(hints(shared_url))
    (line,) = receiver.events("webhook calls were refused")
    assert (2, 1) == (line["unknown_path"], line["wrong_header"])
    log = receiver.log.read_text()
    assert not [text for text in (PATH_SECRET, HEADER_SECRET, HMAC_SECRET, "SO-1001", "PO-77") if text in log]


class StuckReceiver(Receiver):
    """A receiver that does not get on with declaring the topology."""

    module = "tests.webhook.stuck"


def test_its_end_does_not_wait_for_the_topology(shared_url: str, tmp_path: Path) -> None:
    """Nor does a caller, while a queue that was deleted cannot be made again."""
    with StuckReceiver(tmp_path, shared_url) as receiver:
        receiver.wait_until(200)
        with channel(shared_url) as opened:
            opened.queue_delete(WEBHOOKS)
            try:
                answer = receiver.post(EVENT)
                assert (503, "5") == (answer.status, answer.headers["retry-after"])
                receiver.signal(signal.SIGTERM)
                assert 0 == receiver.wait(30)
            finally:
                make_topology().declare(opened)

    (line,) = receiver.events("webhook calls were refused")
    assert (1, "no queue is bound for sips.retry sips.webhooks") == (line["not_taken"], line["last_error"])


def _listens(receiver: Receiver) -> bool:
    try:
        receiver.open().close()
    except OSError:
        return False
    return True


def test_what_was_answered_200_survives_a_kill(shared_url: str, tmp_path: Path) -> None:
    """At any moment: what is confirmed is in RabbitMQ."""
    taken: list[str] = []

    def send(receiver: Receiver, sender: int) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):  # also in the middle of an answer
            for number in range(10_000):
                name = f"{sender}-{number}"
                if receiver.post(EVENT | {"eventId": name}).status == 200:
                    taken.append(name)

    receiver = Receiver(tmp_path, shared_url)
    with receiver:
        receiver.wait_until(200)
        purge(shared_url)
        senders = [threading.Thread(target=send, args=(receiver, sender)) for sender in range(4)]
        for sender in senders:
            sender.start()
        eventually(lambda: len(taken) > 50, "calls were taken")
        receiver.signal(signal.SIGKILL)
        for sender in senders:
            sender.join()

    assert set(taken) <= {hint["data"]["fields"]["id"] for hint in hints(shared_url)}


def test_a_rewritten_secret_file_needs_no_restart(shared_url: str, tmp_path: Path) -> None:
    """The old secret is refused from then on; a file that cannot be read leaves the one in use."""
    file = tmp_path / "secret"
    file.write_text(PATH_SECRET)
    with Receiver(tmp_path, shared_url, WEBHOOK_PATH_SECRET="", WEBHOOK_PATH_SECRET_FILE=str(file)) as receiver:
        receiver.wait_until(200)
        assert 200 == receiver.post(EVENT).status
        file.write_text("short")
        eventually(lambda: list(receiver.events("the secrets in use are kept")), "the file was looked at")
        assert 200 == receiver.post(EVENT).status
        file.write_text(NEXT_PATH_SECRET)
        eventually(lambda: receiver.post(EVENT).status == 404, "the old secret is refused")
        assert 200 == receiver.call(b"{}", path=f"{ADDRESS}/{NEXT_PATH_SECRET}").status


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"WEBHOOK_HMAC_SECRET": ""},
            "set both of WEBHOOK_HMAC_HEADER and WEBHOOK_HMAC_SECRET (or WEBHOOK_HMAC_SECRET_FILE), or neither",
        ),
        ({"WEBHOOK_PORT": "8087", "HEALTH_PORT": "8087"}, "HEALTH_PORT must be another one than WEBHOOK_PORT"),
        ({"WEBHOOK_HOST": "192.0.2.1"}, "WEBHOOK_PORT: cannot listen on 192.0.2.1 port "),
    ],
)
def test_wrong_settings_end_it_at_once(tmp_path: Path, settings: dict[str, str], line: str) -> None:
    """With one line that says what to do."""
    receiver = Receiver(tmp_path, "amqp://127.0.0.1:1", **settings).start()

    assert 2 == receiver.wait(30)
    assert f"sips-worker: {line}" in receiver.log.read_text()


def test_outside_the_sandbox_a_verifier_is_needed(tmp_path: Path) -> None:
    """Anybody could tell of changes."""
    names = ("PATH_SECRET", "HEADER", "HEADER_SECRET", "HMAC_HEADER", "HMAC_SECRET")
    none = {f"WEBHOOK_{name}": "" for name in names}
    receiver = Receiver(tmp_path, "amqp://127.0.0.1:1", SIPS_ENVIRONMENT="qa", **none).start()

    assert 2 == receiver.wait(30)
    assert "sips-worker: outside the sandbox `webhook` needs WEBHOOK_PATH_SECRET, " in receiver.log.read_text()


def test_it_needs_no_credentials_of_sips(shared_url: str, tmp_path: Path) -> None:
    """Which it never calls; nor does what asks for its health, as the image's check does."""
    with Receiver(tmp_path, shared_url, SIPS_ENVIRONMENT="qa", SIPS_CLIENT_SECRET_FILE="missing") as receiver:
        receiver.wait_until(200)
        assert 200 == receiver.post(EVENT).status
        health = Service("health", ["health"], tmp_path, receiver.settings).start()
        assert 0 == health.wait(30)

    assert "live\n" == health.log.read_text()
