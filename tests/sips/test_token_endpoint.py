"""Fetching a token from endpoints of all kinds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus

import orjson
import pytest

from tests.sips.making import SECRET, ample, settings
from tests.sips.servers import TOKEN_PATH, Peer, Received, Server, answer, token_answer
from worker.sips.deadline import Deadline
from worker.sips.errors import Executed, TokenError, TokenRefused, TokenUnavailable
from worker.sips.token_endpoint import FORM, JSON, TokenEndpoint
from worker.sips.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from worker.sips.token_rules import Grant

WANTED = {"client_id": "client-1", "client_secret": SECRET, "grant_type": "client_credentials", "scope": "ALL"}


def by_type(form: bytes, json: bytes) -> Callable[[Peer], None]:
    """A script that answers by the encoding of the request."""

    def script(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            peer.send(form if request.headers["content-type"] == FORM else json)

    return script


def credentials(request: Received) -> dict[str, Any]:
    """What was sent, in either encoding."""
    if request.headers["content-type"] == FORM:
        return dict(parse_qsl(request.body.decode()))
    return dict(orjson.loads(request.body))


def fetch(server: Server, times: int = 1, **others: Any) -> list[Grant]:
    """Fetch tokens from one endpoint of a server."""
    configured = settings(server.url, **others)
    transport = Transport(configured)
    try:
        endpoint = TokenEndpoint(configured, transport)
        return [endpoint.fetch(configured.credentials()[0], ample()) for _ in range(times)]
    finally:
        transport.close()


def failure(form: bytes, json: bytes | None = None) -> TokenError:
    """The error that an endpoint with these answers leads to."""
    with Server(by_type(form, json or form)) as server, pytest.raises(TokenError) as caught:
        fetch(server)
    assert Executed.NO == caught.value.executed
    assert SECRET not in f"{caught.value} {caught.value!r}"
    assert caught.value.answer is None
    return caught.value


def test_the_form_is_sent_first() -> None:
    """Four values, to the path in the table."""
    with Server(by_type(token_answer(), answer(status=415))) as server:
        [grant] = fetch(server)
        [request] = server.received
    assert ("token-1", 3600) == (grant.value, grant.expires_in)
    assert ("POST", TOKEN_PATH) == (request.method, request.target)
    assert WANTED == credentials(request)
    assert "authorization" not in request.headers


@pytest.mark.parametrize("status", [400, 401, 403, 415])
def test_json_is_sent_where_the_form_is_refused(status: int) -> None:
    """And first from then on."""
    with Server(by_type(answer({}, status=status), token_answer())) as server:
        assert ["token-1"] * 3 == [grant.value for grant in fetch(server, times=3)]
        assert [FORM, JSON, JSON, JSON] == [request.headers["content-type"] for request in server.received]
        assert all(credentials(request) == WANTED for request in server.received)


def test_an_endpoint_that_changes_its_mind_is_followed() -> None:
    """The form is sent again where JSON is refused later."""
    accepted = [JSON, FORM]

    def script(peer: Peer) -> None:
        while (request := peer.receive()) is not None:
            good = request.headers["content-type"] == accepted[0]
            peer.send(token_answer() if good else answer({}, status=415))
            if good and len(accepted) > 1:
                accepted.pop(0)

    with Server(script) as server:
        assert 2 == len(fetch(server, times=2))
        assert [FORM, JSON, JSON, FORM] == [request.headers["content-type"] for request in server.received]


def test_the_secret_is_read_anew(tmp_path: Path) -> None:
    """A rotated secret file needs no restart."""
    file = tmp_path / "secret"
    file.write_text("first\n")

    def script(peer: Peer) -> None:
        while peer.receive() is not None:
            file.write_text("second\n")
            peer.send(token_answer())

    with Server(script) as server:
        fetch(server, times=2, sips_client_secret="", sips_client_secret_file=file)
        assert ["first", "second"] == [credentials(request)["client_secret"] for request in server.received]


def test_the_path_can_be_configured() -> None:
    """The guides show another spelling of it."""
    with Server(by_type(token_answer(), token_answer())) as server:
        fetch(server, sips_paths={"authenticationtoken": "/authentication/token"})
        assert ["/authentication/token"] == [request.target for request in server.received]


@pytest.mark.parametrize("status", [400, 401, 403, 415])
def test_credentials_that_both_encodings_are_refused_with_are_refused(status: int) -> None:
    """The status of the preferred encoding is told."""
    error = failure(answer({"error": "invalid_client"}, status=status, Retry_After="9"), answer({}, status=400))
    assert isinstance(error, TokenRefused)
    assert (status, 9.0) == (error.status, error.retry_after)


@pytest.mark.parametrize(
    "raw",
    [
        answer({}, status=500),
        answer({}, status=404),
        answer({}, status=301, Location="/elsewhere"),
        answer({}, status=204),
        # Neither encoding, and not a word about the credentials.
        answer({}, status=415),
        # 200 without a token.
        answer(b"<html>", content_type="text/html"),
        answer(b""),
        answer([]),
        answer({}),
        answer({"access_token": None}),
        answer({"access_token": {"value": "a"}}),
        # What would break out of the header.
        answer({"access_token": ""}),
        answer({"access_token": "token\r\nX-Evil: 1"}),
        answer({"access_token": "tok en"}),
        answer({"access_token": "tökén"}),
    ],
)
def test_any_other_answer_is_no_token(raw: bytes) -> None:
    """The status is told."""
    error = failure(raw)
    assert isinstance(error, TokenUnavailable)
    assert int(raw[9:12]) == error.status


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (503, "workers ask again by themselves; if that lasts, ask SRS"),
        (429, "workers ask again by themselves; if that lasts, ask SRS"),
        (404, rf"check SIPS_BASE_URL=\1 and whether {TOKEN_PATH} is the path there"),
    ],
)
def test_no_token_says_where_and_what_to_do(status: int, advice: str) -> None:
    """What passes by itself is told from what somebody has to mend."""
    pattern = rf"SIPS' token endpoint: (http://127\.0\.0\.1:\d+) gave no token \(HTTP {status}\); {advice}"
    assert re.fullmatch(pattern, str(failure(answer({}, status=status))))


def test_throttling_is_passed_on() -> None:
    """With the wait that it asks for."""
    error = failure(answer({}, status=429, Retry_After="30"))
    assert isinstance(error, TokenUnavailable)
    assert (429, 30.0) == (error.status, error.retry_after)


def test_an_endpoint_that_fails_after_a_refused_form_is_unavailable() -> None:
    """The credentials may be good."""
    error = failure(answer({}, status=401), answer({}, status=503))
    assert isinstance(error, TokenUnavailable)
    assert 503 == error.status


def test_an_endpoint_that_does_not_answer_is_unavailable() -> None:
    """With what happened instead."""
    with Server(Peer.receive) as server, pytest.raises(TokenUnavailable, match="lost-answer"):
        fetch(server)


def test_a_silent_endpoint_ends_with_the_deadline() -> None:
    """The call that needs the token waits no longer."""
    with Server(lambda peer: peer.server.stopping.wait(30)) as server:
        configured = settings(server.url)
        transport = Transport(configured)
        with pytest.raises(TokenUnavailable, match="deadline"):
            TokenEndpoint(configured, transport).fetch(configured.credentials()[0], Deadline.after(0.1))
        transport.close()


def test_a_page_of_a_firewall_counts_as_a_refusal() -> None:
    """How SIPS answers to wrong credentials is not documented."""
    error = failure(answer(b"<html>", status=403, content_type="text/html"))
    assert isinstance(error, TokenRefused)
    assert "HTTP 403 (text/html) to the form, HTTP 403 (text/html) to JSON; check" in str(error)


def test_a_refusal_names_what_was_refused_where_and_shows_both_answers() -> None:
    """And what to check."""
    form = answer({"error": "invalid_client", "error_description": "no\r\nsuch \x1b[1mclient", "other": "x"}, status=400)
    error = failure(form, answer({"message": "Unauthorized", "code": 7}, status=401))
    assert re.fullmatch(
        r"SIPS' token endpoint: http://127\.0\.0\.1:\d+ refused client client-1 \(current pair\): "
        r"HTTP 400 \(invalid_client; no such \[1mclient\) to the form, HTTP 401 \(7; Unauthorized\) to JSON; "
        r"check client id and client secret, and that they were issued for this address: SRS issues them for one environment "
        r"\(SIPS_ENVIRONMENT=sandbox\)",
        str(error),
    )


@pytest.mark.parametrize("text", [SECRET, f"client_secret={SECRET}&x", f"got {SECRET[:7]}...", f"...{SECRET[-7:]}"])
def test_an_echo_of_the_secret_is_not_shown(text: str) -> None:
    """Nor a piece of it."""
    error = failure(answer({"error": "invalid_client", "message": text}, status=401))
    assert "HTTP 401 ([redacted]) to the form" in str(error)
    assert text not in str(error)


@pytest.mark.parametrize("way", [lambda secret: quote(secret, safe=""), quote_plus, lambda secret: orjson.dumps(secret).decode()])
def test_an_echo_of_the_request_is_not_shown_either(way: Callable[[str], str]) -> None:
    """The secret as it was written there."""
    secret = 'a/"b &c+\\d'
    echo = way(secret)
    raw = answer({"message": echo}, status=401)
    with Server(by_type(raw, raw)) as server, pytest.raises(TokenRefused) as caught:
        fetch(server, sips_client_secret=secret)
    assert "[redacted]" in str(caught.value)
    assert echo not in str(caught.value)
