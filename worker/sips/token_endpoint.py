"""Fetch a bearer token: POST /Authentication/token, form-urlencoded first and as JSON where that is refused.

The portal's endpoint pages show the form, its guides show JSON; both were accepted at some time (portal pages
token-32636877e0 and authentication-1994857m0). The encoding that worked is tried first from then on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, urlencode

import orjson

from worker.sips.errors import SipsError, TokenError, TokenRefused, TokenUnavailable, Unreadable
from worker.sips.models import TokenAnswer, TokenRequest
from worker.sips.operations import OPERATIONS, resolve
from worker.sips.token_rules import Grant
from worker.sips.transport import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.settings import Credentials, Settings
    from worker.sips.answers import Answer
    from worker.sips.deadline import Deadline
    from worker.sips.transport import Transport

__all__ = ["TokenEndpoint"]

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

#: Statuses that refuse the credentials. What SIPS answers to wrong ones is not documented: any of these, in whatever form.
_REFUSALS = frozenset({400, 401, 403})

#: Statuses by which an endpoint may mean the encoding.
_OTHER_ENCODING = _REFUSALS | {415}

#: Too many requests, and from here on a fault of SIPS: both pass.
_THROTTLED, _FAULT = 429, 500

#: Properties of a refusal that are shown, and the longest text of one.
_TELLING = ("error", "error_description", "code", "message")
_SHOWN_CHARACTERS = 120

#: A piece of the secret of this length in a text is taken for an echo of it.
_ECHO_CHARACTERS = 6

#: What can stand in a header: anything else would end it early.
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


class TokenEndpoint:
    """The token endpoint of one environment."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._environment = settings.sips_environment
        self._transport = transport
        self._operation = resolve(OPERATIONS["authenticationToken"], settings.sips_paths)
        self._address = f"SIPS_BASE_URL={transport.base_url}"
        self._encodings: tuple[str, str] = (FORM, JSON)

    def fetch(self, credentials: Credentials, deadline: Deadline) -> Grant:
        """A new token.

        Raises:
            TokenRefused: The credentials were refused, in both encodings.
            TokenUnavailable: Anything else that kept the endpoint from giving one.
        """
        first, second = self._encodings
        answer = self._post(first, credentials, deadline)
        if answer.status not in _OTHER_ENCODING:
            return self._grant(answer)
        other = self._post(second, credentials, deadline)
        if other.status in _OTHER_ENCODING:
            raise self._refusal(credentials, {first: answer, second: other})
        grant = self._grant(other)
        self._encodings = (second, first)
        return grant

    def _post(self, encoding: str, credentials: Credentials, deadline: Deadline) -> Answer:
        values = TokenRequest(client_id=credentials.client_id, client_secret=credentials.client_secret).model_dump()
        request = Request(
            self._operation.method,
            f"{self._transport.base_url}{self._operation.path}",
            {"Content-Type": encoding, "Accept": JSON},
            urlencode(values).encode() if encoding == FORM else orjson.dumps(values),
        )
        try:
            return self._transport.send(self._operation, request, deadline)
        except SipsError as error:
            raise self._unavailable(f"the call ended with {error.code}", f"check {self._address} and the network") from None

    def _grant(self, answer: Answer) -> Grant:
        if answer.status != 200:  # noqa: PLR2004
            raise self._unanswered(answer, f"HTTP {answer.status}")
        try:
            token = answer.parse(TokenAnswer)
        except Unreadable:
            raise self._unanswered(answer, "HTTP 200 without a token") from None
        if not _HEADER_SAFE.fullmatch(token.access_token):
            raise self._unanswered(answer, "HTTP 200 with a token that no header can carry")
        return Grant(token.access_token, token.expires_in)

    def _refusal(self, credentials: Credentials, answers: Mapping[str, Answer]) -> TokenError:
        first = next(iter(answers.values()))
        if not any(answer.status in _REFUSALS for answer in answers.values()):
            return self._unanswered(first, f"HTTP {first.status} in both encodings")
        shown = ", ".join(f"{_shown(answer, credentials)} to {_NAMES[encoding]}" for encoding, answer in answers.items())
        return TokenRefused(
            self._operation.id,
            f"{self._transport.base_url} refused client {credentials.client_id} ({credentials.pair} pair): {shown}; "
            "check client id and client secret, and that they were issued for this address: SRS issues them for one environment "
            f"(SIPS_ENVIRONMENT={self._environment})",
            status=first.status,
            retry_after=first.retry_after,
        )

    def _unanswered(self, answer: Answer, what: str) -> TokenUnavailable:
        """The error of an answer that is neither a token nor a refusal."""
        if answer.status == _THROTTLED or answer.status >= _FAULT:
            return self._unavailable(what, "workers ask again by themselves; if that lasts, ask SRS", answer)
        return self._unavailable(what, f"check {self._address} and whether {self._operation.path} is the path there", answer)

    def _unavailable(self, what: str, advice: str, answer: Answer | None = None) -> TokenUnavailable:
        return TokenUnavailable(
            self._operation.id,
            f"{self._transport.base_url} gave no token ({what}); {advice}",
            status=answer.status if answer else None,
            retry_after=answer.retry_after if answer else None,
        )


#: How messages call the encodings.
_NAMES = {FORM: "the form", JSON: "JSON"}


def _shown(answer: Answer, credentials: Credentials) -> str:
    """Status and what the answer tells, without a secret and in one line."""
    body = answer.body if isinstance(answer.body, dict) else {}
    told = [value for name in _TELLING if isinstance(value := body.get(name), str | int)]
    texts = [" ".join(str(text).split())[:_SHOWN_CHARACTERS] for text in told]
    if any(_echoes(str(text), credentials.client_secret) for text in told):
        texts = ["[redacted]"]
    what = "; ".join(texts) or answer.media_type or "no text"
    return f"HTTP {answer.status} ({''.join(filter(str.isprintable, what))})"


def _echoes(text: str, secret: str) -> bool:
    """Whether a piece of the secret stands in a text, as it is or as the request had it."""
    size = min(_ECHO_CHARACTERS, len(secret))
    spelled = (secret, quote(secret, safe=""), quote_plus(secret), orjson.dumps(secret).decode()[1:-1])
    return any(way[start : start + size] in text for way in spelled for start in range(len(way) - size + 1))
