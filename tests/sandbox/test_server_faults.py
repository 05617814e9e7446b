"""Each fault by its effect on the wire and on what is kept."""

from __future__ import annotations

import contextlib
import http.client
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance.conftest import example
from tests.amqp import eventually
from tests.sandbox.calling import DELIVERY, PATIENCE, RAW_DELIVERY, Caller, Control, order, order_under, raw, rest
from tests.sandbox.test_routes import LIST, PRICE, SUBMIT, TOKEN, assert_documented
from worker.sandbox import Sandbox
from worker.sandbox.faults import FAULTS, WEBHOOK
from worker.sandbox.server import WAF_PAGE

#: What can strike a request; `test_webhooks` has the others.
OF_REQUESTS = {name for name in FAULTS if not name.startswith(WEBHOOK)}


def lose(sips: Caller, path: str, body: Any) -> None:
    """A request that gets no answer."""
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        sips.call("POST", path, body)


# Faults that come before the work: not accepted.


@pytest.mark.parametrize(
    ("fault", "status"), [("error_before", 500), ("throttle", 429), ("unauthorized", 401), ("not_found", 404), ("waf", 403)]
)
def test_a_refused_order_is_not_accepted(sips: Caller, control: Control, fault: str, status: int) -> None:
    """The connection lives on, and the next order is accepted."""
    control.set_faults(**{fault: {"count": 1}})
    answer = sips.call("POST", SUBMIT, order_under("struck"))
    kept = sips.socket
    if fault != "waf":
        assert_documented("ordersV2Submit", answer, status)
    assert status == answer.status
    assert 200 == sips.call("POST", SUBMIT, order_under("next")).status
    assert kept is sips.socket
    assert ["next"] == [placed["poNumber"] for placed in control.orders]
    eventually(lambda: control.requests("ordersV2Submit") == {str(status): 1, "200": 1}, "both are counted")


@pytest.mark.parametrize(("given", "seconds"), [(1, "1"), ({"retry_after": 17}, "17"), ({"retry_after": 0}, "0")])
def test_a_throttled_request_is_told_how_long_to_wait(sips: Caller, control: Control, given: Any, seconds: str) -> None:
    """In whole seconds."""
    control.set_faults(throttle=given)
    assert seconds == sips.call("GET", DELIVERY).headers["retry-after"]


def test_a_firewall_answers_with_a_page(sips: Caller, control: Control) -> None:
    """Also to who asks for a token."""
    control.set_faults(waf=1)
    for answer in (sips.call("GET", DELIVERY), sips.call("POST", TOKEN, example("authenticationToken.request"))):
        assert (403, "text/html", WAF_PAGE) == (answer.status, answer.headers["content-type"], answer.raw)
    assert WAF_PAGE.startswith(b"<html>")


# Token.


def test_a_valid_token_can_be_refused(sips: Caller, control: Control) -> None:
    """And accepted the next time; tokens are given all the while."""
    control.set_faults(unauthorized=1)
    assert 401 == sips.call("GET", DELIVERY).status
    assert 200 == sips.call("POST", TOKEN, example("authenticationToken.request")).status
    control.set_faults()
    assert 200 == sips.call("GET", DELIVERY).status


@pytest.mark.parametrize(("given", "status"), [(1, 500), ({"status": 401}, 401), ({"status": 400}, 400)])
def test_no_token_may_be_given(sips: Caller, control: Control, given: Any, status: int) -> None:
    """Who has one goes on."""
    control.set_faults(token_error=given)
    answer = sips.call("POST", TOKEN, example("authenticationToken.request"))
    assert_documented("authenticationToken", answer, status)
    assert 200 == sips.call("GET", DELIVERY).status
    assert 1 == control.stats["tokensIssued"]


@pytest.mark.parametrize("seconds", [0, 1, 3_600])
def test_a_token_can_be_short_lived(sandbox: Sandbox, control: Control, seconds: int) -> None:
    """It says so, and stops working; one that was given before does not."""
    with Caller.of(sandbox) as older:
        control.set_faults(token_short={"expires_in": seconds})
        answer = older.call("POST", TOKEN, example("authenticationToken.request"))
        assert_documented("authenticationToken", answer, 200)
        assert (seconds, seconds) == (answer.body["expires_in"], answer.body["ext_expires_in"])
        header = f"Bearer {answer.body['access_token']}"
        end = 200 if seconds == 3_600 else 401
        eventually(lambda: older.call("GET", DELIVERY, Authorization=header).status == end, f"it gets {end}")
        assert 200 == older.call("GET", DELIVERY).status


# Faults that come after the work: accepted.


def test_an_answer_can_be_lost(sips: Caller, control: Control) -> None:
    """The order is accepted and the connection is closed without a byte."""
    control.set_faults(lost_answer={"count": 1})
    lose(sips, SUBMIT, order_under("lost"))
    assert [("lost", False, True)] == [(placed["poNumber"], placed["answered"], placed["listed"]) for placed in control.orders]
    eventually(lambda: control.requests("ordersV2Submit") == {"none": 1}, "it is counted as not answered")
    assert ["lost"] == [row["PONumber"] for row in sips.call("POST", LIST, {"PONumber": "lost"}).body["orderList"]]


def test_an_error_can_come_after_the_order(sips: Caller, control: Control) -> None:
    """As if the order had not been accepted."""
    control.set_faults(error_after=1)
    answer = sips.call("POST", SUBMIT, order())
    assert_documented("ordersV2Submit", answer, 500)
    assert 1 == len(control.orders)
    control.set_faults(error_after={"status": 504})
    assert 504 == sips.call("POST", SUBMIT, order()).status
    assert 2 == len(control.orders)


def test_an_answer_can_be_garbage(sips: Caller, control: Control) -> None:
    """200, and no JSON although it says so."""
    control.set_faults(garbage=1)
    answer = sips.call("POST", SUBMIT, order())
    assert (200, "application/json") == (answer.status, answer.headers["content-type"].partition(";")[0])
    with pytest.raises(ValueError, match="Expecting value"):
        _ = answer.body
    assert 1 == len(control.orders)


def test_an_answer_can_be_late(sips: Caller, control: Control, sandbox: Sandbox) -> None:
    """The order is accepted meanwhile, and others are answered; the stop does not wait for it."""
    control.set_faults(slow={"seconds": 3_600, "count": 1})
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(sips.call, "POST", SUBMIT, order())
        eventually(lambda: control.requests("ordersV2Submit") == {"pending": 1} and control.orders, "the order is accepted")
        with Caller.of(sandbox) as other:
            assert 200 == other.call("GET", DELIVERY).status
        assert not late.done()
        assert [False] == [placed["answered"] for placed in control.orders]
        sandbox.stop()
        with pytest.raises(ConnectionError):
            late.result(PATIENCE)


def test_a_late_answer_comes(sips: Caller, control: Control) -> None:
    """In whole."""
    control.set_faults(slow={"seconds": 0.1})
    assert_documented("deliveryDetails", sips.call("GET", DELIVERY), 200)


def test_an_answer_can_drip(sips: Caller, control: Control) -> None:
    """Its head at once, its body byte by byte with the interval between them; counted when all of it was sent."""
    whole = sips.call("GET", DELIVERY).raw
    control.set_faults(drip={"interval": 3_600})
    with raw(sips.url) as connection:
        connection.sendall(RAW_DELIVERY.format(token=sips.token).encode())
        received = b""
        while not received.partition(b"\r\n\r\n")[2]:
            received += connection.recv(65_536)
        assert whole[:1] == received.partition(b"\r\n\r\n")[2]
        assert {"200": 1, "pending": 1} == control.requests("deliveryDetails")
    control.set_faults(drip={"interval": 0})
    assert whole == sips.call("GET", DELIVERY).raw
    eventually(lambda: control.requests("deliveryDetails")["200"] == 2, "it was sent in whole")


class Waits(threading.Event):
    """Notes what is waited for instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        """As `Event.wait`, at once."""
        self.noted.append(timeout)
        return False


def test_waits_are_as_long_as_was_asked(sips: Caller, control: Control, sandbox: Sandbox) -> None:
    """Once for a slow answer, and after each byte of one that drips."""
    waits = sandbox._stopped = Waits()
    control.set_faults(slow={"seconds": 7.5}, drip={"interval": 2})
    answer = sips.call("GET", DELIVERY)
    eventually(lambda: control.requests("deliveryDetails") == {"200": 1}, "all was sent")
    assert [7.5, *[2] * len(answer.raw)] == waits.noted


# Queued.


def test_an_order_can_be_queued_and_become_one_later(sips: Caller, control: Control) -> None:
    """Accepted at once, found later, under a number instead of the queue's id."""
    control.set_faults(queued={"listed_after": 3_600, "count": 1})
    queued = sips.call("POST", SUBMIT, order_under("queued")).body
    (placed,) = control.orders
    assert (queued["queueID"], False, False) == (placed["queueId"], placed["listed"], placed["dropped"])
    assert [] == sips.call("POST", LIST, {"PONumber": "queued"}).body["orderList"]
    assert 404 == sips.call("GET", f"/orders/{placed['orderId']}").status

    control.set_faults(queued={"listed_after": 0.1, "count": 1})
    sips.call("POST", SUBMIT, order_under("soon"))
    (found,) = eventually(lambda: sips.call("POST", LIST, {"PONumber": "soon"}).body["orderList"], "it is listed")
    assert 200 == sips.call("GET", f"/orders/{found['orderId']}").status
    assert isinstance(found["orderId"], int)


def test_a_queued_order_can_be_dropped(sips: Caller, control: Control) -> None:
    """It looks like the others and never becomes an order (field evidence)."""
    control.set_faults(queued_dropped=1)
    answer = sips.call("POST", SUBMIT, order_under("dropped"))
    assert_documented("ordersV2Submit", answer, 200)
    (placed,) = control.orders
    assert ("Order Queued", answer.body["queueID"], True, False) == (
        answer.body["message"],
        placed["queueId"],
        placed["dropped"],
        placed["listed"],
    )
    assert [] == sips.call("POST", LIST, {"PONumber": "dropped"}).body["orderList"]
    assert [404, 404] == [sips.call("GET", f"/orders/{placed[name]}").status for name in ("orderId", "queueId")]


# Down.


def test_sips_can_be_down(sips: Caller, control: Control) -> None:
    """Kept connections are cut, new ones refused, and the control port goes on answering."""
    control.set_faults(down=1)
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        sips.call("GET", DELIVERY)
    with pytest.raises(ConnectionRefusedError):
        sips.call("GET", DELIVERY)
    assert {"down": 1} == control.call("GET", "faults").body
    assert 400 == control.call("PUT", "faults", {"nonsense": 1}).status
    with pytest.raises(ConnectionRefusedError):
        sips.call("GET", DELIVERY)
    control.set_faults()
    assert 200 == sips.call("GET", DELIVERY).status


def test_sips_comes_back_by_itself(sips: Caller, control: Control) -> None:
    """On the same port, with the same tokens; the fault is over then."""
    control.set_faults(down={"seconds": 0.2}, waf=0)

    def is_back() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return 200 == sips.call("GET", DELIVERY).status
        return False

    eventually(is_back, "SIPS is back")
    assert {"waf": 0} == control.call("GET", "faults").body


def test_who_asks_sips_itself_to_go_down_is_answered(sandbox: Sandbox, control: Control) -> None:
    """On that very connection, which then ends like all others."""
    with Caller(sandbox.url) as caller:
        answer = caller.call("PUT", "/_sandbox/faults", {"down": 1})
        assert (200, {"down": 1}) == (answer.status, answer.body)
        assert b"" == rest(caller.socket)
    with pytest.raises(ConnectionRefusedError):
        raw(sandbox.url)
    control.set_faults()


def test_an_order_that_was_accepted_before_the_outage_is_kept(sips: Caller, control: Control) -> None:
    """Its answer is lost; down is no restart."""
    control.set_faults(slow={"seconds": 3_600})
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(sips.call, "POST", SUBMIT, order())
        eventually(lambda: control.orders, "the order is accepted")
        control.set_faults(down=1)
        with pytest.raises(ConnectionError):
            answer.result(PATIENCE)
    control.set_faults()
    assert 1 == len(sips.call("POST", LIST, {"PONumber": "5641-8Test"}).body["orderList"])


# Which requests, and in which order.


@pytest.mark.undescribed
def test_a_fault_strikes_the_operations_customers_and_number_of_times_that_it_is_for(sips: Caller, control: Control) -> None:
    """Order List calls the customer `customerNumber`; a code of another type is nobody's."""
    control.set_faults(error_before={"customers": ["DEMO001"], "operations": ["ordersV2Submit", "ordersList"], "count": 2})
    requests: list[tuple[str, Any]] = [
        (SUBMIT, order(customerCode="OTHER")),
        (SUBMIT, order(customerCode=["DEMO001"])),
        (PRICE, example("productsV2Price.request")),
        (LIST, {"customerNumber": "OTHER"}),
        (LIST, {"customerNumber": "DEMO001"}),
        (SUBMIT, order()),
        (SUBMIT, order()),
    ]
    assert [200, 400, 200, 200, 500, 500, 200] == [sips.call("POST", path, body).status for path, body in requests]


@pytest.mark.parametrize("fault", sorted(OF_REQUESTS - {"down", "token_error", "token_short"}))
@pytest.mark.parametrize("others", [{"customers": ["OTHER"]}, {"operations": ["ordersList"]}])
def test_each_fault_leaves_others_alone(sips: Caller, control: Control, fault: str, others: dict[str, Any]) -> None:
    """The order is placed and answered as if there were no fault."""
    control.set_faults(**{fault: others | ({"seconds": 3_600} if fault == "slow" else {})})
    assert "Order Submitted" == sips.call("POST", SUBMIT, order()).body["message"]
    assert [True] == [placed["listed"] for placed in control.orders]


@pytest.mark.parametrize("fault", sorted(OF_REQUESTS - {"down", "token_error", "token_short", "large"}))
def test_each_fault_strikes_whom_it_is_for(sips: Caller, control: Control, sandbox: Sandbox, fault: str) -> None:
    """The order of that customer, once."""
    own = {"slow": {"seconds": 0}, "drip": {"interval": 0}}.get(fault, {})
    control.set_faults(**{fault: {"customers": ["DEMO001"], "operations": ["ordersV2Submit"], "count": 1} | own})
    with contextlib.suppress(ConnectionError):
        sips.call("POST", SUBMIT, order())
    assert 0 == sandbox._faults._faults[fault].left


def test_a_seed_makes_what_is_struck_repeatable() -> None:
    """The same requests in the same order fail again."""

    def statuses(seed: int) -> list[int]:
        with Sandbox(seed=seed) as sandbox, Caller.of(sandbox) as sips:
            Control(sandbox.control_url).set_faults(error_before=0.5)
            return [sips.call("GET", DELIVERY).status for _ in range(40)]

    first = statuses(7)
    assert first == statuses(7)
    assert {200, 500} == set(first)


def test_faults_that_are_all_in_force_meet_a_request_in_the_order_that_is_told(sips: Caller, control: Control) -> None:
    """One by one, the one before is taken away."""
    given = dict.fromkeys(("throttle", "waf", "not_found", "unauthorized", "error_before", "error_after", "garbage"), 1)
    seen = []
    for name in list(given):
        control.set_faults(**given)
        seen.append(sips.call("POST", SUBMIT, order()).status)
        del given[name]
    assert [429, 403, 404, 401, 500, 500, 200] == seen
    assert 2 == len(control.orders)
    control.set_faults(lost_answer=1, error_after=1, garbage=1)
    lose(sips, SUBMIT, order())
    control.set_faults(token_error={"status": 503}, error_before=1, token_short=1)
    assert 503 == sips.call("POST", TOKEN, example("authenticationToken.request")).status


@pytest.mark.parametrize("fault", sorted(OF_REQUESTS - {"down", "slow", "drip"}))
def test_a_fault_that_is_over_has_no_effect(sips: Caller, control: Control, fault: str) -> None:
    """All is as before."""
    control.set_faults(**{fault: 1})
    control.set_faults()
    answers = [
        sips.call("POST", SUBMIT, order()).body["message"],
        sips.call("POST", TOKEN, example("authenticationToken.request")).body["expires_in"],
        sips.call("GET", DELIVERY).status,
    ]
    assert ["Order Submitted", 86_400, 200] == answers
