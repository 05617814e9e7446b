"""Which command goes to which handler: `@command` above a function is all it takes."""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from worker.messaging.topology import WORK_QUEUES
from worker.runtime.files import Files
from worker.runtime.payload import Payload, Result
from worker.runtime.submission import OrderResult
from worker.sips import OPERATIONS

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterator, Mapping

    Function = TypeVar("Function", bound=Callable[..., Result])

__all__ = ["Handler", "Registry", "command", "registry"]


@dataclass(frozen=True, slots=True)
class Handler:
    """One command type and the function that carries it out.

    Attributes:
        type: the CloudEvent type, also the routing key.
        queue: the work queue it is bound to.
        payload: model of the command's data.
        result: model of what the function returns.
        run: the function: (payload, *ports) for a read, (payload, sips, submission) for a command that changes something.
        ports: what the function is given beside the payload: `Sips`, `Files`, `Watching`, `Withdrawals`.
        changes: whether it changes something at SIPS; then it is never repeated on a guess.
        summary: first line of the function's docstring.
        calls: ids of the SIPS operations that it calls, one of them for each command.
    """

    type: str
    queue: str
    payload: builtins.type[Payload]
    result: builtins.type[Result]
    run: Callable[..., Result]
    ports: tuple[builtins.type[object], ...]
    changes: bool
    summary: str
    calls: tuple[str, ...] = ()

    @property
    def keeps_files(self) -> bool:
        """Whether it may keep files."""
        return Files in self.ports


class Registry:
    """All handlers by command type."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def add(self, handler: Handler) -> None:
        """Register a handler.

        Raises:
            ValueError: its type is taken, its queue is no work queue, or it calls what is no operation of SIPS.
        """
        if handler.type in self._handlers:
            raise ValueError(f"two handlers for {handler.type}")
        if handler.queue not in WORK_QUEUES:
            raise ValueError(f"{handler.type} names the queue {handler.queue}, which is no work queue")
        if unknown := set(handler.calls) - OPERATIONS.keys():
            raise ValueError(f"{handler.type} calls {', '.join(sorted(unknown))}, which SIPS does not have")
        self._handlers[handler.type] = handler

    def find(self, command_type: str) -> Handler | None:
        """The handler of a type, or None."""
        return self._handlers.get(command_type)

    def bindings(self) -> Mapping[str, str]:
        """Command type to work queue, for the topology."""
        return {name: handler.queue for name, handler in self._handlers.items()}

    def __iter__(self) -> Iterator[Handler]:
        return iter(sorted(self._handlers.values(), key=lambda handler: handler.type))


#: The handlers of this process, filled by importing the modules of `handlers`.
registry = Registry()


def command(
    command_type: str, *, queue: str, calls: tuple[str, ...] = (), changes: bool = False, into: Registry = registry
) -> Callable[[Function], Function]:
    """Register the function below as the handler of `command_type`.

    `calls` are the SIPS operations it may call. The annotations of its first parameter and of its return value are the
    payload's and the result's models.
    """

    def register(function: Function) -> Function:
        hints = typing.get_type_hints(function)
        first, *others = inspect.signature(function).parameters
        into.add(
            Handler(
                type=command_type,
                queue=queue,
                payload=_model(hints[first], Payload, function),
                result=_model(hints["return"], OrderResult if changes else Result, function),
                run=function,
                ports=tuple(hints[name] for name in others),
                changes=changes,
                summary=(inspect.getdoc(function) or "").split("\n")[0],
                calls=calls,
            )
        )
        return function

    return register


def _model(hint: Any, base: type, function: Callable[..., Any]) -> Any:
    if not (inspect.isclass(hint) and issubclass(hint, base)):
        raise TypeError(f"{function.__module__}.{function.__qualname__} must be annotated with a subclass of {base.__name__}")
    return hint
