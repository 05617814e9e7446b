"""An answer that is not held: its pieces go to a sink as they come."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import orjson
import pytest
from structlog.testing import capture_logs

from tests.sips.making import ample, settings
from tests.sips.servers import TOKEN_PATH, Peer, Server, answer, drips_a_body_without_length, serve, token_answer
from worker.sips import transport as transport_module
from worker.sips.client import Sips, SipsClient
from worker.sips.deadline import Deadline
from worker.sips.errors import DeadlinePassed, Gateway, LostAnswer, NotFound, Rejected, SipsError, Throttled, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: A list of more than one piece.
PRODUCTS = [{"productId": number, "productName": "x" * 1_000} for number in range(200)]
RAW = orjson.dumps(PRODUCTS)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Log lines go nowhere."""
    with capture_logs():
        yield


def download(server: Server, sink: Callable[[bytes], None], *, deadline: Deadline | None = None) -> tuple[int, Sips]:
    """What a download of the catalogue comes to."""
    client = SipsClient(settings(server.url))
    sips = Sips(client, deadline or ample())
    try:
        return sips.download("productsV2Catalog", sink), sips
    finally:
        client.close()


def failure(script: Callable[[Peer], object], *, seconds: float = 30) -> tuple[SipsError, list[bytes]]:
    """The error of a download, and what the sink had taken by then."""
    taken: list[bytes] = []
    with Server(script) as server, pytest.raises(SipsError) as caught:
        download(server, taken.append, deadline=Deadline.after(seconds))
    return caught.value, taken


@pytest.mark.parametrize(
    "raw",
    [
        answer(RAW),
        answer(b"\xef\xbb\xbf" + RAW),
        answer(gzip.compress(RAW), Content_Encoding="gzip"),
        answer(RAW, content_type="text/html"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(RAW) + RAW + b"\r\n0\r\n\r\n",
    ],
    ids=["plain", "with a byte order mark", "compressed", "mislabelled", "chunked"],
)
def test_a_list_goes_to_the_sink_piece_by_piece(raw: bytes) -> None:
    """Decompressed, byte for byte, and counted; nothing of it is kept."""
    taken: list[bytes] = []
    with Server(serve(raw)) as server:
        count, sips = download(server, taken.append)

    assert (len(PRODUCTS), RAW, True) == (count, b"".join(taken), len(taken) > 1)
    assert (200, 1, b"", None) == (sips.status, sips.calls, sips.answer and sips.answer.raw, sips.abridged and sips.abridged.body)


def test_some_of_a_list_are_picked() -> None:
    """By what they hold; the outcome says that the others are not in it."""
    with Server(serve(answer(RAW))) as server:
        client = SipsClient(settings(server.url))
        sips = Sips(client, ample())
        picked = sips.pick("productsV2Catalog", lambda product: product["productId"] in {7, 190})
        client.close()

    assert [PRODUCTS[7], PRODUCTS[190]] == picked
    assert (None, "only some items of the answer were kept") == (sips.abridged and (sips.abridged.body, sips.abridged.why))


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (answer({"message": "no"}, status=400), Rejected),
        (answer([], status=404), NotFound),
        (answer([], status=429, Retry_After="7"), Throttled),
        (answer(b"<html>Request Rejected</html>" + b" " * 100_000), Gateway),
    ],
)
def test_what_is_no_success_does_not_reach_the_sink(raw: bytes, error: type[SipsError]) -> None:
    """Nor does a page that says 200: it is judged as the answer to any call."""
    caught, taken = failure(serve(raw))

    assert (error, []) == (type(caught), taken)


def test_a_refused_token_is_exchanged_before_anything_reaches_the_sink() -> None:
    """A 401 has a body of its own."""
    taken: list[bytes] = []

    def script(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            if request.target == TOKEN_PATH:
                peer.send(token_answer(f"token-{peer.server.count(TOKEN_PATH)}"))
            else:
                is_new = request.headers["authorization"] == "Bearer token-2"
                peer.send(answer(RAW) if is_new else answer({"message": "Unauthorized"}, status=401))

    with Server(script) as server:
        client = SipsClient(settings(server.url, sips_token_min_age_seconds=0))
        count = Sips(client, ample()).download("productsV2Catalog", taken.append)
        client.close()

    assert (len(PRODUCTS), RAW) == (count, b"".join(taken))


def test_a_kept_connection_that_turns_out_closed_is_replaced() -> None:
    """As for every read: no byte of an answer came."""
    taken: list[bytes] = []

    def closes_after_one_list(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            peer.send(token_answer() if request.target == TOKEN_PATH else answer(RAW))
            if request.target != TOKEN_PATH:
                return

    with Server(closes_after_one_list) as server:
        client = SipsClient(settings(server.url))
        counts = [Sips(client, ample()).download("productsV2Catalog", taken.append) for _ in range(3)]
        client.close()

    assert ([len(PRODUCTS)] * 3, RAW * 3) == (counts, b"".join(taken))


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (answer(RAW[:-100]), Unreadable),
        (answer(RAW)[:-100], LostAnswer),
        (b"HTTP/1.0 200 OK\r\n\r\n" + RAW[:-100], Unreadable),
        (answer(b"<<< not JSON >>>"), Unreadable),
        (answer(b""), Unreadable),
    ],
    ids=["cut off", "less than announced", "without a length", "no JSON", "empty"],
)
def test_half_a_list_is_an_error(raw: bytes, error: type[SipsError]) -> None:
    """However it came to be; a repeat may bring all of it."""

    def script(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            peer.send(token_answer() if request.target == TOKEN_PATH else raw)
            if request.target != TOKEN_PATH:
                return

    caught, _taken = failure(script)

    assert (error, True) == (type(caught), caught.retryable)


def test_nothing_that_is_no_json_reaches_the_sink() -> None:
    """A piece is checked before it is passed on."""
    _caught, taken = failure(serve(answer(b"<<< not JSON >>>")))
    assert [] == taken


def test_a_list_that_does_not_end_is_ended_at_the_deadline() -> None:
    """Where it would look like its end, as it has no length."""

    def script(peer: Peer) -> None:
        if peer.server.accepted == 1:
            peer.receive()
            peer.send(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + token_answer().partition(b"\r\n\r\n")[2])
        else:
            drips_a_body_without_length(peer)

    caught, _taken = failure(script, seconds=1)

    assert isinstance(caught, DeadlinePassed)


def test_a_list_without_bounds_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hostile answer cannot fill a disk; what is streamed may be larger than what is held."""
    monkeypatch.setattr(transport_module, "MAX_STREAM_BYTES", 100_000)
    caught, taken = failure(serve(answer(gzip.compress(b"[" + b" " * 50_000_000 + b"]"), Content_Encoding="gzip")))

    assert isinstance(caught, Unreadable)
    assert "larger than 100000 bytes" in str(caught)
    assert 100_000 >= len(b"".join(taken))


def test_a_sink_that_fails_ends_the_call() -> None:
    """With its own error; the connection is not used again, as the rest of the answer is in it."""

    class FullError(Exception):
        """No room."""

    def full(_piece: bytes) -> None:
        raise FullError

    with Server(serve(answer(RAW))) as server:
        client = SipsClient(settings(server.url))
        with pytest.raises(FullError):
            Sips(client, ample()).download("productsV2Catalog", full)
        assert len(PRODUCTS) == Sips(client, ample()).download("productsV2Catalog", lambda _piece: None)
        client.close()
