# ruff: noqa: N818 - named for what happened, as httpx does: "except LostAnswer" needs no suffix
"""What can go wrong when SIPS is called, and whether SIPS can have executed the call.

```
SipsError
├── UnsafePath                path-parameter          a path parameter would change the path; nothing was sent
├── CallLimit                 call-limit              no turn in time under this process's own limits; nothing was sent
├── NoAnswer                                          the call ended without an answer
│   ├── ConnectFailed         connect-failed          no request byte was written
│   ├── DeadlinePassed        deadline                time was up, before or after the request was written
│   └── LostAnswer            lost-answer             the connection broke after the request was written
├── BadAnswer                                         an answer came, from SIPS or from something before it
│   ├── Unauthorized          sips-unauthorized       401, also with another token or with a young one
│   ├── Forbidden             sips-forbidden          403
│   ├── Throttled             sips-throttled          429
│   ├── Rejected              sips-rejected           400 or 422 with a JSON body
│   ├── NotFound              sips-not-found          404
│   ├── PathUnconfirmed       sips-path-unconfirmed   404 or 405 where the operation's path is a guess
│   ├── ServerFault           sips-error              5xx or 408
│   ├── Gateway               sips-gateway            HTML, a redirect, 404 to a mutation: gateway, firewall, address
│   ├── Unreadable            sips-unreadable         no JSON, the wrong shape, too large
│   └── Unexpected            sips-unexpected         any other status
└── TokenError                                        there is no token to call with; nothing was sent
    ├── TokenRefused          sips-token-refused      the credentials were refused
    ├── TokenUnavailable      sips-token-unavailable  the token endpoint did not give one
    └── SecretUnreadable      sips-secret-unreadable  no client secret can be read, so nothing was asked
```

Messages hold operation ids, codes and path templates: no payload value, name, token, secret or free text of SIPS.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from worker.sips.answers import Answer

__all__ = [
    "BadAnswer",
    "CallLimit",
    "ConnectFailed",
    "DeadlinePassed",
    "Executed",
    "Forbidden",
    "Gateway",
    "LostAnswer",
    "NoAnswer",
    "NotFound",
    "PathUnconfirmed",
    "Rejected",
    "SecretUnreadable",
    "ServerFault",
    "SipsError",
    "Throttled",
    "TokenError",
    "TokenRefused",
    "TokenUnavailable",
    "Unauthorized",
    "Unexpected",
    "Unreadable",
    "UnsafePath",
]


class Executed(StrEnum):
    """Whether SIPS has carried out a call that failed."""

    #: It cannot have: no request byte was written, or the call was turned away at the door (see `classify.executed`).
    NO = "no"
    #: Nobody can tell from here: a call that changes something must be looked up, not repeated.
    MAYBE = "maybe"
    #: SIPS dealt with the call and answered it with a refusal; a repeat gets the same.
    YES = "yes"


class SipsError(Exception):
    """A call of SIPS that brought no usable answer.

    Attributes:
        code: Stable name of the kind of error.
        operation: Id of the operation that was called.
        reason: The message without it.
        executed: Whether SIPS can have executed the call.
        retryable: Whether a repeat makes sense for a call that only reads.
        status: HTTP status, where an answer came.
        retry_after: Seconds that the answer asks to wait, where it does.
        answer: The answer, where one came; holds SIPS' text, so it does not belong into a log.
        while_away: Whether SIPS was known to be away, for all calls, when this one ended.
    """

    code: ClassVar[str]
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        operation: str,
        message: str,
        *,
        executed: Executed = Executed.NO,
        status: int | None = None,
        retry_after: float | None = None,
        answer: Answer | None = None,
    ) -> None:
        super().__init__(f"{operation}: {message}")
        self.reason = message
        self.operation = operation
        self.executed = executed
        self.status = status
        self.retry_after = retry_after
        self.answer = answer
        self.while_away = False


class UnsafePath(SipsError):
    """A path parameter is empty, a dot segment or no text: it would make another path of the operation's."""

    code = "path-parameter"


class CallLimit(SipsError):
    """SIPS_MAX_CONCURRENCY, SIPS_MAX_RPS or the slow start after an outage left no turn in time."""

    code = "call-limit"
    retryable = True


class NoAnswer(SipsError):
    """The call ended without an answer."""

    retryable = True


class ConnectFailed(NoAnswer):
    """No request byte was written: no address, refused, no TLS, or a kept connection that turned out closed."""

    code = "connect-failed"


class DeadlinePassed(NoAnswer):
    """The time of the call was up; `executed` tells whether a request byte had been written."""

    code = "deadline"


class LostAnswer(NoAnswer):
    """The connection broke after the request, or a part of it, was written and before the answer was complete."""

    code = "lost-answer"


class BadAnswer(SipsError):
    """An answer came that is no success, from SIPS or from something before it; status and wait are the answer's."""

    def __init__(
        self,
        operation: str,
        message: str,
        *,
        executed: Executed = Executed.MAYBE,
        status: int | None = None,
        answer: Answer | None = None,
    ) -> None:
        super().__init__(
            operation,
            message,
            executed=executed,
            status=status if answer is None else answer.status,
            retry_after=None if answer is None else answer.retry_after,
            answer=answer,
        )


class Unauthorized(BadAnswer):
    """401 although the token was exchanged, or because it is too young to be exchanged."""

    code = "sips-unauthorized"


class Forbidden(BadAnswer):
    """403 that did not come as a page of a firewall."""

    code = "sips-forbidden"


class Throttled(BadAnswer):
    """429; SIPS documents no limits, so a gateway may be meant as well."""

    code = "sips-throttled"
    retryable = True


class Rejected(BadAnswer):
    """400 or 422 with a JSON body: SIPS read the request and refused it."""

    code = "sips-rejected"


class NotFound(BadAnswer):
    """404: the thing asked for, or the path, is not there."""

    code = "sips-not-found"


class PathUnconfirmed(BadAnswer):
    """404 or 405 on a path that is a guess: confirm it with SRS and set SIPS_PATHS__<operation>."""

    code = "sips-path-unconfirmed"


class ServerFault(BadAnswer):
    """5xx or 408: something failed behind the answer."""

    code = "sips-error"
    retryable = True


class Gateway(BadAnswer):
    """HTML, a redirect, or a 404 to a call that names no entity: a gateway or firewall answered, or the address is wrong."""

    code = "sips-gateway"
    retryable = True


class Unreadable(BadAnswer):
    """An answer that is not JSON, has not the shape of its operation, or is larger than is accepted."""

    code = "sips-unreadable"
    retryable = True


class Unexpected(BadAnswer):
    """A status that no rule speaks of, 409 among them."""

    code = "sips-unexpected"


class TokenError(SipsError):
    """There is no token to call with; the call itself was not sent."""

    retryable = True

    def __str__(self) -> str:
        # Not by the operation's id: log lines take what stands behind "authenticationToken: " for a token.
        return f"SIPS' token endpoint: {self.reason}"


class TokenRefused(TokenError):
    """The token endpoint refused the credentials: check client id, secret and environment."""

    code = "sips-token-refused"


class TokenUnavailable(TokenError):
    """The token endpoint could not be reached, failed, or answered without a token."""

    code = "sips-token-unavailable"


class SecretUnreadable(TokenError):
    """No file with a client secret can be read: mend it, and the worker goes on by itself."""

    code = "sips-secret-unreadable"

    def __str__(self) -> str:
        return f"no client secret: {self.reason}"
