"""The two ports: what the control port tells, load, hostile peers and the end."""

from __future__ import annotations

import contextlib
import gc
import json
import socket
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.acceptance.conftest import example
from tests.amqp import eventually
from tests.sandbox.calling import DELIVERY, PATIENCE, RAW_DELIVERY, Caller, Control, order, order_under, raw, rest
from tests.sandbox.test_routes import SUBMIT, TOKEN
from worker.sandbox import Sandbox

# Control.


def test_every_accepted_order_is_told(sips: Caller, control: Control) -> None:
    """By transaction id, PO number, customer and time, and what became of it."""
    before = datetime.now(UTC)
    ids = [sips.call("POST", SUBMIT, order_under(number)).body["orderID"] for number in ("A", "B")]
    after = datetime.now(UTC)

    eventually(lambda: all(placed["answered"] for placed in control.orders), "the answers are sent")
    orders = control.orders
    times = [datetime.fromisoformat(placed.pop("acceptedAt")) for placed in orders]
    assert all(placed.pop("clientPort") for placed in orders)
    assert before <= times[0] <= times[1] <= after
    assert [
        {
            "orderId": order_id,
            "transactionID": example("ordersV2Submit.request")["transactionID"],
            "poNumber": number,
            "customerCode": "DEMO001",
            "queueId": None,
            "dropped": False,
            "listed": True,
            "answered": True,
        }
        for order_id, number in zip(ids, ("A", "B"), strict=True)
    ] == orders


def test_requests_are_counted_per_operation_and_status(sips: Caller, control: Control) -> None:
    """Whatever path they came on; looking at the statistics is not counted."""
    sips.call("POST", SUBMIT, order())
    sips.call("POST", "/orders/v2/submit", order())
    sips.call("POST", SUBMIT, {})
    sips.call("GET", DELIVERY)
    sips.call("GET", "/orders/1/deliveries")
    sips.call("GET", DELIVERY, Authorization="")
    expected = {
        "requests": {
            "authenticationToken": {"200": 1},
            "ordersV2Submit": {"200": 2, "400": 1},
            "deliveryDetails": {"200": 1, "404": 1, "401": 1},
        },
        "mostAtOnce": 1,
        "tokensIssued": 1,
    }
    eventually(lambda: control.stats == expected, "all is counted")


def test_a_request_is_counted_before_it_is_answered(sips: Caller, control: Control) -> None:
    """As pending; so a test sees that SIPS has it."""
    control.set_faults(slow={"seconds": 3_600})
    with raw(sips.url) as connection:
        connection.sendall(RAW_DELIVERY.format(token=sips.token).encode())
        eventually(lambda: control.requests("deliveryDetails") == {"pending": 1}, "the request is counted")


def test_both_ports_take_control_requests(sandbox: Sandbox) -> None:
    """And show the same."""
    answers = []
    for url in (sandbox.url, sandbox.control_url):
        control = Control(url)
        control.set_faults(waf=0)
        answers.append([control.call("GET", path).body for path in ("faults", "orders", "stats")])
    assert [{"waf": 0}, {"orders": []}, {"requests": {}, "mostAtOnce": 0, "tokensIssued": 0}] == answers[0] == answers[1]


def test_the_control_port_is_not_sips(sandbox: Sandbox, control: Control) -> None:
    """A client with the wrong port must not work by accident, and while SIPS is down nothing may reach it."""
    with Caller(sandbox.control_url) as caller:
        answer = caller.call("POST", TOKEN, example("authenticationToken.request"))
    assert (404, True) == (answer.status, sandbox.url in answer.body["message"])
    assert {"requests": {}, "mostAtOnce": 0, "tokensIssued": 0} == control.stats


@pytest.mark.parametrize(("method", "path"), [("GET", "nowhere"), ("POST", "faults"), ("DELETE", "orders"), ("PUT", "stats")])
def test_what_the_control_port_does_not_know_is_told(control: Control, method: str, path: str) -> None:
    """With what there is instead."""
    answer = control.call(method, path)
    assert 404 == answer.status
    assert all(name in answer.body["message"] for name in ("/_sandbox/orders", "/_sandbox/stats", "/_sandbox/faults"))


def test_faults_are_shown_and_replaced_as_a_whole(control: Control) -> None:
    """As they were asked for."""
    assert {} == control.call("GET", "faults").body
    first: dict[str, Any] = {"slow": {"seconds": 0, "count": 2}, "waf": 0.25}
    for given in (first, {"garbage": 0}, {}):
        assert given == control.call("PUT", "faults", given).body == control.call("GET", "faults").body


@pytest.mark.parametrize(
    ("given", "allowed"),
    [
        ({"nonsense": 1}, "lost_answer"),
        ({"waf": 2}, "0 to 1"),
        ({"waf": {"seconds": 1}}, "operations"),
        ({"waf": {"operations": ["orderSubmit"]}}, "ordersV2Submit"),
        ({"waf": {"operations": 5}}, "list of operations"),
        ({"slow": {"seconds": None}}, "number of seconds"),
        ([], "object"),
        (b"{", "object"),
        (b"", "object"),
    ],
)
def test_wrong_faults_are_told_and_change_nothing(sips: Caller, control: Control, given: Any, allowed: str) -> None:
    """With what is allowed."""
    control.set_faults(not_found=1)
    answer = control.call("PUT", "faults", given)
    assert (400, True) == (answer.status, allowed in answer.body["message"])
    assert {"not_found": 1} == control.call("GET", "faults").body
    assert 404 == sips.call("GET", DELIVERY).status


@pytest.mark.undescribed
def test_a_fault_can_be_for_requests_that_no_route_takes(sips: Caller, control: Control) -> None:
    """Under the name that the statistics give them."""
    control.set_faults(waf={"operations": ["unknown"]})
    assert (403, 200) == (sips.call("GET", "/nowhere").status, sips.call("GET", DELIVERY).status)


# Load and hostility.


def test_every_request_of_many_threads_is_counted(sandbox: Sandbox, control: Control) -> None:
    """200 of them over 16 kept connections, and every order is kept under a number of its own."""
    numbers = [[f"PO-{thread}-{number}" for number in range(13 if thread < 8 else 12)] for thread in range(16)]
    assert 200 == sum(map(len, numbers))
    start = threading.Barrier(16)

    def work(own: list[str]) -> list[int]:
        with Caller.of(sandbox) as sips:
            kept = sips.socket
            start.wait(PATIENCE)
            statuses = [sips.call("POST", SUBMIT, order_under(number)).status for number in own]
            assert kept is sips.socket
            return statuses

    with ThreadPoolExecutor(16) as pool:
        statuses = [status for seen in pool.map(work, numbers) for status in seen]

    assert {200: 200} == Counter(statuses)
    assert Counter(number for own in numbers for number in own) == Counter(placed["poNumber"] for placed in control.orders)
    assert 200 == len({placed["orderId"] for placed in control.orders})
    eventually(
        lambda: (
            control.stats["requests"] == {"authenticationToken": {"200": 16}, "ordersV2Submit": {"200": 200}}
            and (16, True) == (control.stats["tokensIssued"], 1 <= control.stats["mostAtOnce"] <= 16)
        ),
        "all is counted",
    )


HOSTILE = {
    "garbage": b"\x00\xff hello \r\n\r\n",
    "another protocol": b"AMQP\x00\x00\x09\x01\r\n\r\n",
    "chunks": b"POST /orders/v2/Submit HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "a huge length": b"POST /orders/v2/Submit HTTP/1.1\r\nContent-Length: 9999999999\r\n\r\nx",
    "a negative length": b"POST /orders/v2/Submit HTTP/1.1\r\nContent-Length: -1\r\n\r\nx",
    "an endless head": b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000,
}


@pytest.mark.parametrize("sent", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("port", ["url", "control_url"])
def test_what_is_no_request_is_answered_and_the_connection_closed(
    sandbox: Sandbox, sips: Caller, control: Control, port: str, sent: bytes
) -> None:
    """The peer learns why although it goes on sending; all others are served as before."""
    with raw(getattr(sandbox, port)) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        head, _, body = rest(connection).partition(b"\r\n\r\n")
    assert (b"HTTP/1.1 400 Bad Request", True) == (head.partition(b"\r\n")[0], b'"message":' in body)
    assert 200 == sips.call("GET", DELIVERY).status
    assert ({"400": 1}, []) == (control.requests("unknown"), control.orders)


def test_half_a_request_is_not_worked_on(sandbox: Sandbox, sips: Caller, control: Control) -> None:
    """Where its end does not come; also where what came is a whole order by itself."""
    body = json.dumps(order()).encode()
    head = f"POST {SUBMIT} HTTP/1.1\r\nAuthorization: Bearer {sips.token}\r\nContent-Type: application/json\r\n"
    whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    for sent in (whole[:-1], whole[:300], head.encode(), whole.replace(b"Length: ", b"Length: 1")):
        with raw(sandbox.url) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert b"" == rest(connection)
    assert ([], {}) == (control.orders, control.requests("ordersV2Submit"))
    with raw(sandbox.url) as connection:
        connection.sendall(whole.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n", 1))
        assert rest(connection).startswith(b"HTTP/1.1 200 OK\r\n")
    assert 1 == len(control.orders)


@pytest.mark.parametrize("head", [f"GET {DELIVERY} HTTP/1.1\r\nConnection: close", f"GET {DELIVERY} HTTP/1.0"])
def test_a_connection_is_closed_when_the_request_says_so(sips: Caller, head: str) -> None:
    """After the answer."""
    with raw(sips.url) as connection:
        connection.sendall(f"{head}\r\nAuthorization: Bearer {sips.token}\r\n\r\n".encode())
        assert sips.call("GET", DELIVERY).raw == rest(connection).partition(b"\r\n\r\n")[2]


def test_nothing_is_left_after_the_stop(tmp_path: Path) -> None:
    """No thread, no socket and no port, whatever was going on."""
    assert tmp_path.is_dir()  # the temporary folder's own files are open before they are counted
    gc.collect()
    threads, files = set(threading.enumerate()), len(list(Path("/dev/fd").iterdir()))
    with contextlib.ExitStack() as peers:
        sandbox = Sandbox().start()
        sips = peers.enter_context(Caller.of(sandbox))
        control = Control(sandbox.control_url)
        for sent in (b"", b"GET /", b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n", *HOSTILE.values()):
            peers.enter_context(raw(sandbox.url)).sendall(sent)
        for fault in ({"slow": {"seconds": 3_600}}, {"drip": {"interval": 3_600}}):
            control.set_faults(**fault)
            request = RAW_DELIVERY.format(token=sips.token).encode()
            peers.enter_context(raw(sandbox.url)).sendall(request)
        eventually(lambda: control.requests("deliveryDetails") == {"pending": 2}, "two are being answered")
        control.set_faults(down={"seconds": 3_600})
        sandbox.stop()
        for url in (sandbox.url, sandbox.control_url):
            with pytest.raises(ConnectionRefusedError):
                raw(url)
    eventually(lambda: set(threading.enumerate()) <= threads, "the threads have ended")
    gc.collect()
    assert files >= len(list(Path("/dev/fd").iterdir()))


def test_a_taken_port_leaves_nothing_open(sandbox: Sandbox) -> None:
    """If one of the two ports cannot be had, the other is given back."""
    taken = urlsplit(sandbox.url).port
    assert taken
    other = Sandbox(control_port=taken)
    with pytest.raises(OSError, match="in use"):
        other.start()
    with pytest.raises(ConnectionRefusedError):
        raw(other.url)
