"""Fetch a bearer token: POST /Authentication/token, form-urlencoded first and as JSON where that is refused.

The portal's endpoint pages show the form, its guides show JSON; both were accepted at some time (portal pages
token-32636877e0 and authentication-1994857m0). The encoding that worked is tried first from then on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import orjson

from worker.settings import SettingsError
from worker.sips.answers import HTML
from worker.sips.errors import SipsError, TokenError, TokenRefused, TokenUnavailable, Unreadable
from worker.sips.models import TokenAnswer, TokenRequest
from worker.sips.operations import OPERATIONS, resolve
from worker.sips.token_rules import Grant
from worker.sips.transport import Request

if TYPE_CHECKING:
    from worker.settings import Settings
    from worker.sips.answers import Answer
    from worker.sips.deadline import Deadline
    from worker.sips.transport import Transport

__all__ = ["TokenEndpoint"]

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

#: Statuses by which an endpoint may refuse the encoding as well as the credentials.
_REFUSALS = frozenset({400, 401, 403, 415})

#: What can stand in a header: anything else would end it early.
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


class TokenEndpoint:
    """The token endpoint of one environment; the secret is read anew for each fetch."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport
        self._operation = resolve(OPERATIONS["authenticationToken"], settings.sips_paths)
        self._encodings: tuple[str, str] = (FORM, JSON)

    def fetch(self, deadline: Deadline) -> Grant:
        """A new token.

        Raises:
            TokenRefused: The credentials were refused, in both encodings.
            TokenUnavailable: Anything else that kept the endpoint from giving one.
        """
        credentials = self._credentials()
        first, second = self._encodings
        answer = self._post(first, credentials, deadline)
        if answer.status not in _REFUSALS:
            return self._grant(answer)
        other = self._post(second, credentials, deadline)
        if other.status in _REFUSALS:
            raise self._refusal(answer)
        grant = self._grant(other)
        self._encodings = (second, first)
        return grant

    def _credentials(self) -> TokenRequest:
        try:
            return TokenRequest(client_id=self._settings.client_id, client_secret=self._settings.client_secret())
        except SettingsError as error:
            raise TokenUnavailable(self._operation.id, str(error)) from None

    def _post(self, encoding: str, credentials: TokenRequest, deadline: Deadline) -> Answer:
        values = credentials.model_dump()
        request = Request(
            self._operation.method,
            f"{self._transport.base_url}{self._operation.path}",
            {"Content-Type": encoding, "Accept": JSON},
            urlencode(values).encode() if encoding == FORM else orjson.dumps(values),
        )
        try:
            return self._transport.send(self._operation, request, deadline)
        except SipsError as error:
            raise TokenUnavailable(self._operation.id, f"no token, the call ended with {error.code}") from None

    def _grant(self, answer: Answer) -> Grant:
        if answer.status != 200:  # noqa: PLR2004
            raise self._unavailable(answer, f"HTTP {answer.status}")
        try:
            token = answer.parse(TokenAnswer)
        except Unreadable:
            raise self._unavailable(answer, "HTTP 200 without a token") from None
        if not _HEADER_SAFE.fullmatch(token.access_token):
            raise self._unavailable(answer, "HTTP 200 with a token that no header can carry")
        return Grant(token.access_token, token.expires_in)

    def _refusal(self, answer: Answer) -> TokenError:
        if answer.media_type == HTML:
            return self._unavailable(answer, f"HTTP {answer.status} from a gateway or firewall")
        return TokenRefused(
            self._operation.id,
            f"HTTP {answer.status}: the credentials were refused; check client id, client secret and SIPS_ENVIRONMENT",
            status=answer.status,
            retry_after=answer.retry_after,
        )

    def _unavailable(self, answer: Answer, what: str) -> TokenUnavailable:
        return TokenUnavailable(self._operation.id, f"no token: {what}", status=answer.status, retry_after=answer.retry_after)
