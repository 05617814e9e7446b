"""Calling an operation: the request that goes out, the token it bears, the answer or the error."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from structlog.testing import capture_logs

from tests.sips.making import SECRET, ample, settings
from tests.sips.servers import TOKEN_PATH, Peer, Server, answer, serve, token_answer
from worker.settings import SettingsError
from worker.sips.client import Sips, SipsClient, make_token_source
from worker.sips.deadline import Deadline
from worker.sips.errors import (
    DeadlinePassed,
    Executed,
    Forbidden,
    Gateway,
    LostAnswer,
    PathUnconfirmed,
    Rejected,
    ServerFault,
    SipsError,
    Throttled,
    TokenUnavailable,
    Unauthorized,
    Unreadable,
    UnsafePath,
)
from worker.sips.models import OrderListRequest
from worker.sips.token import TokenManager
from worker.sips.token_endpoint import TokenEndpoint
from worker.sips.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SUBMIT_PATH = "/orders/v2/Submit"
PRICE_PATH = "/products/v2/price"


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Log lines go nowhere."""
    with capture_logs():
        yield


def client(server: Server, *, min_age: float = 60.0, **others: Any) -> SipsClient:
    """A client of a server, with a real token manager."""
    configured = settings(server.url, **others)
    transport = Transport(configured)
    tokens = TokenManager(TokenEndpoint(configured, transport).fetch, configured.pairs, min_age_seconds=min_age)
    return SipsClient(configured, tokens, transport)


def call(server: Server, operation: str = "ordersV2Submit", **arguments: Any) -> Any:
    """One call of a new client."""
    sips = client(server)
    try:
        return sips.call(operation, deadline=ample(), **arguments)
    finally:
        sips.close()


def judges(good: str, *, token: Callable[[int], bytes]) -> Callable[[Peer], None]:
    """A script that answers 200 to one token only and 401 to others; `token` makes the answer to the nth fetch."""

    def script(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            if request.target == TOKEN_PATH:
                peer.send(token(peer.server.count(TOKEN_PATH)))
            else:
                granted = request.headers["authorization"] == f"Bearer {good}"
                peer.send(answer({"orderID": "1"}) if granted else answer({}, status=401))

    return script


# The request.


def test_a_request_is_put_together() -> None:
    """Method, path, query, headers, body and the token."""
    with Server(serve(answer([]))) as server:
        call(server, "productsV2Price", json={"a": 1}, query={"BranchCode": "A&B /ü", "latitude": 1.5, "none": None})
        request = server.received[-1]
    assert ("POST", f"{PRICE_PATH}?BranchCode=A%26B%20%2F%C3%BC&latitude=1.5") == (request.method, request.target)
    assert b'{"a":1}' == request.body
    assert "Bearer token-1" == request.headers["authorization"]
    assert "application/json" == request.headers["accept"]
    assert "application/json" == request.headers["content-type"]
    assert request.headers["user-agent"].startswith("sips-worker/")
    assert "cookie" not in request.headers


def test_a_read_without_a_body_sends_none() -> None:
    """Nor a type or a length of one."""
    with Server(serve(answer([]))) as server:
        call(server, "deliveryDetails", path={"orderId": "1/../2?x=#"})
        request = server.received[-1]
    assert ("GET", "/orders/1%2F..%2F2%3Fx%3D%23/deliveries") == (request.method, request.target)
    assert not {"content-type", "content-length", "transfer-encoding"} & set(request.headers)


@pytest.mark.parametrize(
    ("json", "body"),
    [
        (b'{"kept": 1.10}', b'{"kept": 1.10}'),
        (OrderListRequest(PONumber="1", branchCode=None), b'{"PONumber":"1"}'),
        ({"a": ["ü", None]}, '{"a":["ü",null]}'.encode()),
        ([], b"[]"),
    ],
)
def test_bodies(json: object, body: bytes) -> None:
    """Bytes stay as they are, models lose what is not set, data becomes compact JSON."""
    with Server(serve(answer([]))) as server:
        call(server, "ordersList", json=json)
        assert body == server.received[-1].body


def test_a_document_may_be_answered_where_one_is_asked_for() -> None:
    """Its bytes are the answer."""
    with Server(serve(answer(b"%PDF-1.7", content_type="application/pdf"))) as server:
        got = call(server, "proofOfDelivery", path={"orderId": "1"})
        assert "application/pdf, application/json" == server.received[-1].headers["accept"]
    assert (b"%PDF-1.7", None, "application/pdf") == (got.raw, got.body, got.media_type)


def test_paths_can_be_configured() -> None:
    """Also in part of an address that has a path of its own."""
    with Server(serve(answer([]))) as server:
        sips = SipsClient(settings(f"{server.url}/gateway", sips_paths={"deliverydetails": "/v9/{orderId}"}))
        sips.call("deliveryDetails", path={"orderId": "1"}, deadline=ample())
        sips.close()
        assert [f"/gateway{TOKEN_PATH}", "/gateway/v9/1"] == [request.target for request in server.received]


@pytest.mark.parametrize(
    ("query", "target"), [({}, "/near?customerCode=A%2FB"), ({"number": 1}, "/near?customerCode=A%2FB&number=1")]
)
def test_a_configured_path_may_have_a_query(query: dict[str, int], target: str) -> None:
    """Also with a parameter in it, and beside a query of the call."""
    with Server(serve(answer([]))) as server:
        paths = {"nearestEligibleBranch": "/near?customerCode={customerCode}"}
        sips = SipsClient(settings(server.url, sips_paths=paths))
        sips.call("nearestEligibleBranch", path={"customerCode": "A/B"}, query=query, deadline=ample())
        sips.close()
        assert target == server.received[-1].target


def test_an_unsafe_path_is_not_sent() -> None:
    """Not even a token is fetched for it."""
    with Server(serve(answer([]))) as server:
        with pytest.raises(UnsafePath):
            call(server, "deliveryDetails", path={"orderId": ".."})
        assert [] == server.received


def test_a_client_opens_nothing_before_its_first_call() -> None:
    """No thread, no connection: processes are forked after it may be made."""
    threads = threading.active_count()
    with Server(serve(answer([]))) as server:
        sips = SipsClient(settings(server.url))
        assert 0 == server.accepted
        assert threads + 1 == threading.active_count()
        sips.close()


def test_unknown_operations_are_told() -> None:
    """In the settings by an error, in the code by another."""
    with pytest.raises(SettingsError, match="SIPS_PATHS__nonsense"):
        SipsClient(settings("http://127.0.0.1:1", sips_paths={"nonsense": "/x"}))
    with pytest.raises(KeyError):
        SipsClient(settings("http://127.0.0.1:1")).call("nonsense", deadline=ample())


# The token.


def test_a_token_serves_many_calls() -> None:
    """It is fetched with the first."""
    with Server(serve(answer([]))) as server:
        sips = client(server)
        for _ in range(3):
            sips.call("ordersList", json={}, deadline=ample())
        sips.close()
        assert 1 == server.count(TOKEN_PATH)


def test_a_refused_token_is_exchanged_and_the_call_repeated_once() -> None:
    """Also an order: 401 means that it was not executed."""
    script = judges("token-2", token=lambda number: token_answer(f"token-{number}"))
    with Server(script) as server:
        sips = client(server, min_age=0)
        assert {"orderID": "1"} == sips.call("ordersV2Submit", json={}, deadline=ample()).body
        sips.close()
        assert 2 == server.count(SUBMIT_PATH)
        assert 2 == server.count(TOKEN_PATH)


def test_a_second_refusal_is_final() -> None:
    """There is no third attempt."""
    script = judges("never", token=lambda number: token_answer(f"token-{number}"))
    with Server(script) as server:
        sips = client(server, min_age=0)
        with pytest.raises(Unauthorized) as caught:
            sips.call("ordersV2Submit", json={}, deadline=ample())
        sips.close()
        assert 2 == server.count(SUBMIT_PATH)
    assert Executed.NO == caught.value.executed
    assert 401 == caught.value.status


def test_a_young_token_is_not_exchanged() -> None:
    """The command is refused, the fleet keeps its token."""
    with Server(judges("never", token=lambda number: token_answer(f"token-{number}"))) as server:
        sips = client(server)
        for _ in range(3):
            with pytest.raises(Unauthorized):
                sips.call("ordersV2Submit", json={}, deadline=ample())
        sips.close()
        assert 3 == server.count(SUBMIT_PATH)
        assert 1 == server.count(TOKEN_PATH)


def test_the_same_token_again_is_not_tried_again() -> None:
    """An endpoint that repeats the refused token has no other."""
    with Server(judges("never", token=lambda _: token_answer("token-1"))) as server:
        sips = client(server, min_age=0)
        with pytest.raises(Unauthorized):
            sips.call("ordersV2Submit", json={}, deadline=ample())
        sips.close()
        assert 1 == server.count(SUBMIT_PATH)


def test_threads_that_are_refused_together_exchange_the_token_once() -> None:
    """Sixteen orders with an old token: one new token, no order lost or doubled."""
    threads = 16
    together = threading.Barrier(threads)

    def script(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            if request.target == TOKEN_PATH:
                peer.send(token_answer(f"token-{peer.server.count(TOKEN_PATH)}"))
            elif request.headers["authorization"] == "Bearer token-1":
                together.wait(30)
                peer.send(answer({}, status=401))
            else:
                peer.send(answer({"orderID": request.body.decode()}))

    with Server(script) as server:
        sips = client(server, min_age=0, threads=threads)
        with ThreadPoolExecutor(threads) as pool:

            def submit(number: int) -> Any:
                return sips.call("ordersV2Submit", json=number, deadline=ample()).body["orderID"]

            assert [str(number) for number in range(threads)] == list(pool.map(submit, range(threads)))
        sips.close()
        assert 2 == server.count(TOKEN_PATH)
        assert 2 * threads == server.count(SUBMIT_PATH)


def test_without_a_token_nothing_is_sent() -> None:
    """The call was not executed."""

    def script(peer: Peer) -> None:
        while peer.receive() is not None:
            peer.send(answer({}, status=503))

    with Server(script) as server:
        with pytest.raises(TokenUnavailable) as caught:
            call(server, json={})
        assert 0 == server.count(SUBMIT_PATH)
    assert Executed.NO == caught.value.executed


def test_no_token_or_secret_shows_in_an_error() -> None:
    """Nor in what hangs on it."""
    with Server(judges("never", token=lambda _: token_answer("the-token"))) as server, pytest.raises(Unauthorized) as caught:
        call(server, json={})
    shown = f"{caught.value!r} {vars(caught.value)!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert "the-token" not in shown
    assert SECRET not in shown


def test_the_token_source_of_a_process_can_be_made_alone() -> None:
    """To see whether the credentials are good."""
    with Server(serve(answer([]))) as server:
        configured = settings(server.url)
        assert pytest.approx(3600) == make_token_source(configured).check(configured.credentials()[0], ample())


# The answer.


def test_a_success_is_returned_to_be_judged() -> None:
    """A 200 that tells of an error is one as well."""
    with Server(serve(answer({"message": "Order failed", "errors": []}))) as server:
        assert {"message": "Order failed", "errors": []} == call(server, json={}).body


@pytest.mark.parametrize(
    ("raw", "error", "done"),
    [
        (answer({"message": "no"}, status=400), Rejected, Executed.YES),
        (answer({}, status=429, Retry_After="3"), Throttled, Executed.NO),
        (answer({}, status=302, Location="/login"), Gateway, Executed.NO),
        (answer(b"<html>Just a moment", status=503, content_type="text/html"), Gateway, Executed.MAYBE),
        (answer(b"Order Submitted", content_type="text/plain"), Unreadable, Executed.MAYBE),
    ],
)
def test_anything_else_is_an_error(raw: bytes, error: type[Exception], done: Executed) -> None:
    """Of the kind that `classify` tells, with its answer; sent once."""
    with Server(serve(raw)) as server:
        with pytest.raises(error) as caught:
            call(server, json={})
        assert 1 == server.count(SUBMIT_PATH)
    assert done == caught.value.executed  # type: ignore[attr-defined]
    assert caught.value.answer.raw  # type: ignore[attr-defined]


def test_a_guessed_path_that_does_not_hold_is_told() -> None:
    """It is no order without deliveries."""
    with Server(serve(answer({}, status=404))) as server, pytest.raises(PathUnconfirmed):
        call(server, "deliveryDetails", path={"orderId": "1"})


# What a handler sees.


def test_an_attempt_sums_up_its_calls() -> None:
    """For the log line of the attempt."""
    with Server(serve(answer({"a": 1}), answer({}, status=500))) as server:
        sips = Sips(client(server, sips_source_system="SRC"), ample())
        assert ("SRC", 0, 0.0, None, None) == (sips.source_system, sips.calls, sips.seconds, sips.status, sips.answer)
        got = sips.call("ordersList", json={})
        assert (1, 200) == (sips.calls, sips.status)
        assert got is sips.answer
        first = sips.seconds
        assert first >= got.seconds
        with pytest.raises(ServerFault, match="HTTP 500"):
            sips.call("ordersList", json={})
        assert (2, 500) == (sips.calls, sips.status)
        assert sips.seconds > first
        sips._client.close()


def test_all_calls_of_an_attempt_share_its_deadline() -> None:
    """The second has only what the first left."""
    with Server(serve(answer({}))) as server:
        sips = Sips(client(server), Deadline.after(0))
        with pytest.raises(TokenUnavailable):
            sips.call("ordersList", json={})
        assert sips.status is None
        sips._client.close()


@pytest.mark.parametrize(
    ("script", "operation", "expected"),
    [
        (serve(answer({})), "ordersV2Submit", Executed.YES),
        (serve(answer({}, status=400)), "ordersV2Submit", Executed.YES),
        (serve(answer({}, status=500)), "ordersV2Submit", Executed.MAYBE),
        (serve(answer({}, status=403)), "ordersV2Submit", Executed.NO),
        (serve(answer({}, status=500)), "ordersList", Executed.NO),
    ],
)
def test_an_attempt_knows_whether_something_was_changed(
    script: Callable[[Peer], None], operation: str, expected: Executed
) -> None:
    """By the calls that change something; later reads do not make it forget."""
    with Server(script) as server:
        sips = Sips(client(server), ample())
        for name in (operation, "ordersList"):
            with contextlib.suppress(SipsError):
                sips.call(name, json={})
        assert expected == sips.executed
        sips._client.close()


def test_a_doubt_stays_whatever_comes_later() -> None:
    """An order that may stand does not vanish because the next one was refused at the door."""
    with Server(serve(answer({}, status=500), answer({}, status=403))) as server:
        sips = Sips(client(server), ample())
        for error in (ServerFault, Forbidden):
            with pytest.raises(error):
                sips.call("ordersV2Submit", json={})
        assert Executed.MAYBE == sips.executed
        sips._client.close()


def test_a_mistake_in_the_code_leaves_an_order_in_doubt() -> None:
    """Nobody knows how far it came."""
    sips = Sips(SipsClient(settings("http://127.0.0.1:1")), ample())
    with pytest.raises(TypeError):
        sips.call("ordersV2Submit", json=object())
    assert Executed.MAYBE == sips.executed


def test_an_order_is_lost_with_its_answer_and_not_repeated() -> None:
    """The whole way: token, kept connection, lost answer."""

    def script(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            if request.target == SUBMIT_PATH:
                return
            peer.send(token_answer())

    with Server(script) as server:
        with pytest.raises(LostAnswer) as caught:
            call(server, json={"a": 1})
        assert [b'{"a":1}'] == server.bodies(SUBMIT_PATH)
    assert Executed.MAYBE == caught.value.executed


def test_an_order_whose_answer_drips_ends_with_its_attempt() -> None:
    """In doubt, at the deadline."""

    def script(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            if request.target == SUBMIT_PATH:
                peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                peer.drip(orjson.dumps({"orderID": "1" * 900}))
                return
            peer.send(token_answer())

    with Server(script) as server:
        sips = client(server)
        with pytest.raises(DeadlinePassed) as caught:
            sips.call("ordersV2Submit", json={}, deadline=Deadline.after(0.5))
        sips.close()
        assert server.gone.wait(30)
    assert Executed.MAYBE == caught.value.executed
