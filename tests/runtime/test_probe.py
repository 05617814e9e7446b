"""The question whether SIPS is there."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sips.making import settings
from tests.sips.servers import TOKEN_PATH, Peer, Server, answer, serve, token_answer
from worker.runtime.outage import End
from worker.runtime.probe import REFUSED_FACTOR, Probe, pause
from worker.settings import Settings
from worker.sips import OPERATIONS, Confidence, SipsClient

HTML = "text/html"


def ask(url: str, **others: object) -> tuple[End, str]:
    """One question, and what it came to."""
    chosen = settings(url, **others)
    client = SipsClient(chosen)
    probe = Probe(client, chosen)
    try:
        return probe.ask(), probe.found
    finally:
        client.close()


@pytest.mark.parametrize(
    ("bytes_of_answer", "end"),
    [
        (answer([]), End.ANSWERED),
        (answer({"message": "Not Found"}, 404), End.ANSWERED),
        (answer({"message": "Bad Request"}, 400), End.ANSWERED),
        (answer({"message": "System Error"}, 500), End.ANSWERED),
        (answer({}, 429), End.ANSWERED),
        (answer({"message": "Unauthorized"}, 401), End.REFUSED),
        (answer({"message": "Forbidden"}, 403), End.REFUSED),
        (answer(b"<html>Request Rejected</html>", 403, HTML), End.FAILED),
        (answer(b"<html>Not Found</html>", 404, HTML), End.FAILED),
        (answer(b"<html>Welcome</html>", 200, HTML), End.FAILED),
        (answer({}, 302, Location="https://example.com/"), End.FAILED),
        (answer({"message": "Service Unavailable"}, 503), End.FAILED),
        (b"", End.FAILED),
    ],
)
def test_what_counts_as_an_answer_of_sips(bytes_of_answer: bytes, end: End) -> None:
    """Whatever SIPS itself says but a refusal; not what stands before it."""

    def script(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            peer.send(token_answer() if request.target == TOKEN_PATH else bytes_of_answer)
            if request.target != TOKEN_PATH and not bytes_of_answer:
                return

    with Server(script) as server:
        assert end is ask(server.url)[0]


def test_it_is_one_get_of_the_path_that_is_set() -> None:
    """With its query; nothing is posted but the request for a token."""
    with Server(serve(answer([]))) as server:
        assert (End.ANSWERED, "HTTP 200") == ask(server.url, sips_probe_path="/branches/any?branchCode=X")

        assert [("POST", TOKEN_PATH), ("GET", "/branches/any?branchCode=X")] == [
            (request.method, request.target) for request in server.received
        ]


def test_the_path_by_default_is_one_that_is_documented_to_be_read() -> None:
    """Without a parameter, and not a guess."""
    (operation,) = [row for row in OPERATIONS.values() if row.path == Settings.model_fields["sips_probe_path"].default]

    assert ("GET", Confidence.DOCUMENTED, frozenset()) == (operation.method, operation.confidence, operation.parameters)


def test_a_refused_connection_is_no_answer() -> None:
    """The token cannot be had either; the line for the log names what failed."""
    with Server(lambda peer: peer.receive()) as server:
        pass

    end, found = ask(server.url)

    assert (End.FAILED, True) == (end, found.startswith("sips-token-unavailable: SIPS' token endpoint: "))


@given(asked=st.integers(1, 10_000), refused=st.booleans(), longest=st.floats(1, 3600), seed=st.integers())
def test_pauses_grow_to_a_limit(asked: int, refused: bool, longest: float, seed: int) -> None:
    """Never so short that it burns anything, never longer than half beyond the limit, which is wider for a refusal."""
    seconds = pause(asked, refused=refused, longest=longest, random=random.Random(seed))

    factor = REFUSED_FACTOR if refused else 1
    mean = min(2 ** min(asked - 1, 60), longest) * factor
    assert mean * 0.5 <= seconds <= mean * 1.5
    assert 0.5 <= seconds <= longest * factor * 1.5
