"""A message on its way to RabbitMQ's confirm, and who hears of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.messaging.publisher import Message, PublishError

__all__ = ["Awaited", "Pending", "Told"]


class Pending:
    """Either of the two below.

    Attributes:
        message: what is published.
        returned: RabbitMQ sent it back, as there is no queue for it; its confirm follows.
        abandoned: nobody wants to hear of it any more; it need not be sent.
    """

    __slots__ = ("abandoned", "message", "returned")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.returned = False
        self.abandoned = False

    def finish(self, error: PublishError | None) -> None:
        """RabbitMQ took it, or it did not."""
        raise NotImplementedError


class Awaited(Pending):
    """A thread waits for it.

    Attributes:
        error: why RabbitMQ did not take it; None until it is done, and where it did.
    """

    __slots__ = ("_done", "error")

    def __init__(self, message: Message) -> None:
        super().__init__(message)
        self.error: PublishError | None = None
        self._done = threading.Lock()  # the cheapest one-shot event there is: created locked, released when done
        self._done.acquire()

    def finish(self, error: PublishError | None) -> None:
        """Let the thread go on."""
        self.error = error
        self._done.release()

    def wait(self, timeout: float) -> bool:
        """Whether it is done within `timeout` seconds."""
        return self._done.acquire(timeout=max(0.0, timeout))


class Told(Pending):
    """A function is called with what became of it: once, with None where RabbitMQ took it.

    Attributes:
        until: monotonic seconds, when it is given up.
    """

    __slots__ = ("_then", "until")

    def __init__(self, message: Message, until: float, then: Callable[[PublishError | None], None]) -> None:
        super().__init__(message)
        self.until = until
        self._then: Callable[[PublishError | None], None] | None = then

    def finish(self, error: PublishError | None) -> None:
        """Call the function, unless it was; what it holds is let go, though the message may still be remembered."""
        self.abandoned = True
        then, self._then = self._then, None
        if then is not None:
            then(error)
