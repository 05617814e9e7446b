"""The base of every command's payload: one spelling (camelCase), tolerant of more, and what logs and subjects need of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WrapValidator
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Code", "Identity", "Number", "Payload", "Quantity", "Result", "Text", "Whole", "guess_identity"]


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Input should be a number, not true or false")  # noqa: TRY004 - pydantic reads a ValueError
    return value


def _fits(value: int) -> int:
    """JSON as it is written here has no larger ones; SIPS' ids have eight digits."""
    if not -(2**63) <= value < 2**64:
        raise ValueError("Input should be a whole number of at most 64 bits")
    return value


def _as_given(value: Any, read: Callable[[Any], float]) -> float:
    """A number that passed its checks, whole where it was given whole: whether SIPS reads 1.0 as 1 is unknown."""
    number = read(_no_boolean(value))
    return value if isinstance(value, int) and value < 2**64 else number


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("Input should have no NUL character")  # PostgreSQL keeps no text that has one
    return value


#: Text that must say something: SIPS refuses blank values, and white space around a code is never meant.
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_no_nul)]

#: Text that names something at SIPS: it stands in log lines, URLs and the headers of events, which must fit one frame.
Code = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_no_nul)]

#: A whole number.
Whole = Annotated[int, BeforeValidator(_no_boolean), AfterValidator(_fits)]

#: Any number.
Number = Annotated[float, BeforeValidator(_no_boolean)]

#: How much of something.
Quantity = Annotated[float, Field(gt=0), WrapValidator(_as_given)]


#: Characters of a customer code that is taken from a payload which failed its checks.
LONGEST_CODE = 60


@dataclass(frozen=True, slots=True)
class Identity:
    """The codes and numbers of a payload that may stand in a log line and in an event's subject; never names or addresses."""

    customer_code: str | None = None
    branch_code: str | None = None
    po_number: str | None = None
    order_id: str | None = None


class Payload(BaseModel):
    """What a command carries. Properties that the model does not know are kept, and sent to SIPS where it sends a body."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="allow",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    def identity(self) -> Identity:
        """The codes of this payload; a payload without any has none."""
        return Identity()

    def to_sips(self, own: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The body for SIPS: the properties that were given, unknown ones included.

        Args:
            own: the worker's own properties. They take the place of what the payload has under these names in any letter
                case: the portal itself spells transactionID and transactionId, and SIPS may read either.
        """
        own = own or {}
        taken = {name.casefold() for name in own}
        body = self.model_dump(by_alias=True, exclude_unset=True)
        return {name: value for name, value in body.items() if name.casefold() not in taken} | dict(own)


class Result(BaseModel):
    """What a handler returns; becomes `result` of `.succeeded`, in camelCase."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )


def guess_identity(data: Any) -> Identity:
    """The customer of a payload that failed its checks, so that its consumer still hears of it."""
    code = data.get("customerCode") if isinstance(data, dict) else None
    return Identity(
        customer_code=code if isinstance(code, str) and 0 < len(code) <= LONGEST_CODE and code.isprintable() else None
    )
