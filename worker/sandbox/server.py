"""The sandbox: SIPS' port and the control port, and what becomes of a request when faults are in force.

A request meets the faults in this order. Before it is worked on: throttle, waf, not_found, unauthorized, token_error,
error_before. While: queued, queued_dropped, token_short, large. After: lost_answer, error_after, garbage; then slow, then drip.
While `down` is on, SIPS' port refuses connections and open ones are cut; the control port stays, and webhooks are sent.
"""

from __future__ import annotations

import socket
import threading
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

from worker.sandbox import routes, wire
from worker.sandbox.calls import Call, error
from worker.sandbox.faults import FaultError, Faults
from worker.sandbox.life import Lives, moment
from worker.sandbox.listener import Listener
from worker.sandbox.outage import Outage
from worker.sandbox.sender import Sender
from worker.sandbox.state import State
from worker.sandbox.wire import Reply, Request, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.sandbox.calls import Answer, Route
    from worker.sandbox.life import Pace
    from worker.sandbox.state import Order
    from worker.sandbox.webhooks import Receiver

__all__ = ["Live", "Sandbox"]

#: The operation of a request that no route takes, in the statistics and for faults.
UNKNOWN = "unknown"

CONTROL = "/_sandbox/"

NOT_JSON = b"<<< not JSON >>>"
WAF_PAGE = b"<html><head><title>Request Rejected</title></head><body>The requested URL was rejected.</body></html>"


@dataclass(frozen=True, slots=True)
class Live:
    """That orders live.

    Args:
        pace: how fast.
        receiver: who is sent a webhook of each change.
        clock: seconds since 1970, by which lives go.
    """

    pace: Pace
    receiver: Receiver | None = None
    clock: Callable[[], float] | None = None


class Sandbox:
    """A stand-in for SIPS on loopback, with everything in memory.

    Args:
        host: address to listen on.
        port, control_port: 0 = a free one. The control port keeps answering while SIPS is down.
        seed: makes the faults' rates repeatable.
        credentials: client id to secret; any are taken by default.
        paths: operations that have moved, with their paths.
        reshaped: operations that answer otherwise, with what makes their answers of the usual ones.
        live: how orders go through their life; None = they stand still.

    Raises:
        ValueError: one of these operations does not exist.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        control_port: int = 0,
        *,
        seed: int | None = None,
        credentials: Mapping[str, str] | None = None,
        paths: Mapping[str, str] | None = None,
        reshaped: Mapping[str, Callable[[Any], Any]] | None = None,
        live: Live | None = None,
    ) -> None:
        self._host = host
        self._routes = routes.Routes(paths)
        self._reshaped = routes.known(reshaped or {})
        self._credentials = credentials
        self._faults = Faults(routes.OPERATIONS | {UNKNOWN}, seed)
        self._state = State(Lives(live.pace if live else None, self._faults.seed), live.clock if live else None)
        self._sender = Sender(live.receiver, self._faults, self._state.now) if live and live.receiver else None
        self._stopped = threading.Event()
        self._sips = Listener(host, port, lambda connection: self._serve(connection, self._on_sips))
        self._control = Listener(host, control_port, lambda connection: self._serve(connection, self._on_control))
        self._outage = Outage(self._sips, self._faults)

    @property
    def url(self) -> str:
        """Where SIPS is."""
        return f"http://{self._host}:{self._sips.port}"

    @property
    def control_url(self) -> str:
        """Where `/_sandbox/` answers even while SIPS is down."""
        return f"http://{self._host}:{self._control.port}"

    def start(self) -> Self:
        """Listen, in threads of its own.

        Raises:
            OSError: a port is taken; nothing is left open.
        """
        try:
            self._sips.open()
            self._control.open()
        except OSError:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close both ports and all connections, and wait for their threads."""
        self._stopped.set()
        self._outage.stop()
        self._sips.close()
        self._control.close()
        if self._sender:
            self._sender.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _serve(self, connection: socket.socket, answer: Callable[[socket.socket, Request], bool]) -> None:
        """Serve one connection, request after request, for as long as `answer` says that it lives on."""
        with connection.makefile("rb") as reader:
            try:
                while (request := wire.read(reader)) is not None:
                    if not answer(connection, request) or request.closes:
                        return
            except wire.UnreadableRequestError as error:
                self._state.count(UNKNOWN)
                self._state.settle(UNKNOWN, "400")
                wire.refuse(connection, str(error))

    def _on_sips(self, connection: socket.socket, request: Request) -> bool:
        if request.path.startswith(CONTROL):
            wire.send(connection, self._answer_control(request, connection))
            return self._sips.is_open
        return self._answer_sips(connection, request)

    def _on_control(self, connection: socket.socket, request: Request) -> bool:
        wire.send(connection, self._answer_control(request))
        return True

    # Control.

    def _answer_control(self, request: Request, asked_on: socket.socket | None = None) -> Reply:
        now = self._state.now()
        match request.method, request.path:
            case "GET", "/_sandbox/orders":
                return json_reply(200, {"orders": [_shown(order, now) for order in self._state.orders()]})
            case "GET", "/_sandbox/lives":
                lives = [self._lived(order, now) for order in self._state.orders()]
                return json_reply(200, {"seed": self._faults.seed, "lives": lives})
            case "GET", "/_sandbox/stats":
                return json_reply(200, self._state.stats())
            case "GET", "/_sandbox/faults":
                return json_reply(200, self._faults.given)
            case "PUT", "/_sandbox/faults":
                return self._set_faults(routes.parse_json(request.raw), asked_on)
        here = "GET /_sandbox/orders, GET /_sandbox/lives, GET /_sandbox/stats, and GET and PUT /_sandbox/faults"
        return json_reply(404, {"message": f"there are {here}; SIPS itself is at {self.url}"})

    def _lived(self, order: Order, now: float) -> dict[str, Any]:
        """The true changes of an order up to now, and the webhooks that tell of them."""
        sent = self._sender.sent(order.order_id) if self._sender else []
        return {
            "orderId": order.order_id,
            "transactionID": order.transaction_id,
            "poNumber": order.po_number,
            "ended": order.life.has_ended(now),
            "changes": [
                {"at": moment(change.at), "subject": change.subject, "status": change.status, "eventType": change.event_type}
                for change in order.life.seen(now)
            ],
            "webhooks": [
                {"event": call.event, "state": call.state, "faults": call.faults, "tries": list(call.tries)} for call in sent
            ],
        }

    def _set_faults(self, given: Any, asked_on: socket.socket | None) -> Reply:
        try:
            self._faults.replace(given)
        except FaultError as error:
            return json_reply(400, {"message": str(error)})
        self._outage.follow(asked_on)
        return json_reply(200, self._faults.given)

    # SIPS.

    def _answer_sips(self, connection: socket.socket, request: Request) -> bool:
        """Answer one request of SIPS; whether the connection lives on."""
        found = self._routes.find(request.method, request.path)
        operation = found[0].operation if found else UNKNOWN
        body = routes.parse(request.media_type, request.raw)
        customer = _customer(body)
        self._state.count(operation)
        status = "none"
        try:
            reply, answer = self._refused(operation, customer, request), None
            if reply is None:
                answer = self._work(found, request, body)
                if answer.order:
                    self._follow(answer.order, connection)
                if self._faults.strikes("lost_answer", operation, customer) is not None:
                    return False
                reply = self._spoiled(operation, customer) or _reply(answer)
            if self._deliver(connection, reply, operation, customer):
                status = str(reply.status)
                if answer and answer.order:
                    answer.order.answered = True
            return status != "none"
        finally:
            self._state.settle(operation, status)

    def _follow(self, order: Order, connection: socket.socket) -> None:
        """An order was accepted: note who sent it, and tell of its changes."""
        if self._sender:
            self._sender.follow(order)
        order.client_port = connection.getpeername()[1]

    def _refused(self, operation: str, customer: str | None, request: Request) -> Reply | None:
        """The answer to a request that is not worked on."""
        strikes = self._faults.strikes
        if throttle := strikes("throttle", operation, customer):
            return _reply(error(429, "Too Many Requests"), ("Retry-After", str(throttle["retry_after"])))
        if strikes("waf", operation, customer) is not None:
            return Reply(403, WAF_PAGE, "text/html")
        if strikes("not_found", operation, customer) is not None:
            return _reply(error(404, "Not Found"))
        if refusal := self._unauthorized(operation, customer, request):
            return refusal
        if broken := strikes("error_before", operation, customer):
            return _reply(error(int(broken["status"]), "System Error"))
        return None

    def _unauthorized(self, operation: str, customer: str | None, request: Request) -> Reply | None:
        if operation == "authenticationToken":
            broken = self._faults.strikes("token_error", operation)
            return _reply(error(broken["status"], "System Error")) if broken else None
        refused = self._faults.strikes("unauthorized", operation, customer) is not None
        return _reply(error(401, "Unauthorized")) if refused or not self._bears_token(request) else None

    def _bears_token(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._state.accepts(token.strip())

    def _work(self, found: tuple[Route, Mapping[str, str]] | None, request: Request, body: Any) -> Answer:
        if found is None:
            return error(404, "Not Found")
        route, parameters = found
        if route.media_types and request.media_type not in route.media_types:
            return error(400, f"Bad Request: Content-Type must be {' or '.join(route.media_types)}")
        decoded = {name: unquote(value) for name, value in parameters.items()}
        query = routes.parse_query(request.query)
        answer = route.answer(Call(decoded, body, self._state, self._faults, self._credentials, query))
        if answer.status == HTTPStatus.OK and (reshape := self._reshaped.get(route.operation)):
            answer.body = reshape(answer.body)
        return answer

    def _spoiled(self, operation: str, customer: str | None) -> Reply | None:
        """Another answer than the one that the work came to."""
        if broken := self._faults.strikes("error_after", operation, customer):
            return _reply(error(int(broken["status"]), "System Error"))
        if self._faults.strikes("garbage", operation, customer) is not None:
            return Reply(200, NOT_JSON)
        return None

    def _deliver(self, connection: socket.socket, reply: Reply, operation: str, customer: str | None) -> bool:
        """Send the answer, late or slowly where a fault wants it; whether all of it was sent."""
        slow = self._faults.strikes("slow", operation, customer)
        if slow and self._stopped.wait(slow["seconds"]):
            return False
        if _has_hung_up(connection):
            return False
        if drip := self._faults.strikes("drip", operation, customer):
            return wire.send_slowly(connection, reply, lambda: self._stopped.wait(drip["interval"]))
        wire.send(connection, reply)
        return True


def _customer(body: Any) -> str | None:
    """The customer that a request is about, whom Order List calls `customerNumber`."""
    codes = [body.get(name) for name in ("customerCode", "customerNumber")] if isinstance(body, dict) else []
    return next((code for code in codes if isinstance(code, str)), None)


def _reply(answer: Answer, *headers: tuple[str, str]) -> Reply:
    if isinstance(answer.body, bytes):
        return Reply(answer.status, answer.body, answer.media_type, headers)
    return json_reply(answer.status, answer.body, *headers)


def _has_hung_up(connection: socket.socket) -> bool:
    """Whether nobody waits for the answer any more; what is sent to a closed end would be taken all the same."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def _shown(order: Order, now: float) -> dict[str, Any]:
    return {
        "orderId": order.order_id,
        "transactionID": order.transaction_id,
        "poNumber": order.po_number,
        "customerCode": order.body["customerCode"],
        "acceptedAt": order.accepted_at.isoformat().replace("+00:00", "Z"),
        "queueId": order.queue_id,
        "dropped": order.dropped,
        "listed": order.is_listed(now),
        "answered": order.answered,
        "clientPort": order.client_port,
    }
