"""The base of every command's payload and result: one spelling (camelCase), tolerant of more, and what logs need of it."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from worker.runtime.spelling import by_spelling, one_spelling_each, read_from, sent_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = [
    "IS_VERSION_1",
    "ApiVersion",
    "Code",
    "Day",
    "Filters",
    "Gleaned",
    "Id",
    "Identity",
    "Latitude",
    "Limit",
    "Longitude",
    "Number",
    "Payload",
    "PayloadWarning",
    "Place",
    "Quantity",
    "Result",
    "Text",
    "Whole",
    "guess_identity",
    "no_boolean",
    "pointer",
    "refuse",
    "spelled",
]

#: Where something stands in a payload: names of properties and numbers of items, from the outside in.
Place = tuple[int | str, ...]


def no_boolean(value: Any) -> Any:
    """For `BeforeValidator`: true and false are no 1 and 0."""
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
    number = read(no_boolean(value))
    return value if isinstance(value, int) and value < 2**64 else number


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("Input should have no NUL character")  # PostgreSQL keeps no text that has one
    return value


def _is_day(value: str) -> str:
    date.fromisoformat(value)
    return value


#: Text that must say something: SIPS refuses blank values, and white space around a code is never meant.
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1), AfterValidator(_no_nul)]

#: Text that names something at SIPS: it stands in log lines, URLs and the headers of events, which must fit one frame.
Code = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_no_nul)]

#: What names something, where SIPS shows it as a number on one page and as text on another.
Id = Annotated[
    str,
    Field(coerce_numbers_to_str=True),
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_no_nul),
]

#: A business date, passed on as it is given.
Day = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_is_day)]

#: A whole number.
Whole = Annotated[int, BeforeValidator(no_boolean), AfterValidator(_fits)]

#: Any number.
Number = Annotated[float, BeforeValidator(no_boolean)]

#: How much of something.
Quantity = Annotated[float, Field(gt=0), WrapValidator(_as_given)]

#: Version of SIPS' call, where it has two.
ApiVersion = Annotated[Literal[1, 2], BeforeValidator(no_boolean)]

#: JSON schema of a payload whose `apiVersion` is the older one; the newer is the default.
IS_VERSION_1: dict[str, JsonValue] = {"properties": {"apiVersion": {"const": 1}}, "required": ["apiVersion"]}

#: Most rows of a list; 0 leaves it to SIPS, as the documented example does.
Limit = Annotated[int, Field(ge=0, le=10_000), BeforeValidator(no_boolean)]

#: A place, in degrees.
Latitude = Annotated[float, Field(ge=-90, le=90), BeforeValidator(no_boolean)]
Longitude = Annotated[float, Field(ge=-180, le=180), BeforeValidator(no_boolean)]


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
    """What a command carries. Properties that the model does not know are kept, and sent to SIPS where it sends a body.

    A subclass for an operation that spells names otherwise says so: `class Query(Payload, alias_generator=sent_to(...))`.
    """

    #: Every spelling that SIPS may take for a property of ours.
    _spellings: ClassVar[dict[str, str]] = {}

    model_config = ConfigDict(
        alias_generator=sent_to(),
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="allow",
        allow_inf_nan=False,
        hide_input_in_errors=True,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **_kwargs: Any) -> None:
        cls._spellings = by_spelling(cls)

    @model_validator(mode="after")
    def _is_spelled_once(self) -> Self:
        if self.__pydantic_extra__:
            one_spelling_each(self.__pydantic_extra__, self._spellings)
        return self

    def identity(self) -> Identity:
        """The codes of this payload; a payload without any has none."""
        return Identity()

    def warnings(self) -> list[PayloadWarning]:
        """What SIPS may not take as it is meant; a payload that says nothing of it has none."""
        return []

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

    def to_query(self, *path: str) -> dict[str, Any]:
        """The query for SIPS: the properties that the model knows, but for those that are parameters of the `path`."""
        return self.model_dump(exclude={*path, *(self.__pydantic_extra__ or ())})


class Filters(Payload):
    """What to list; at least one filter, as SIPS' answer to none is not known, nor to one that is misspelled."""

    limit: Limit | None = None

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.model_dump(exclude_none=True, exclude={"limit", *(self.__pydantic_extra__ or ())}):
            raise ValueError("give at least one filter beside limit, such as customerCode")
        return self

    def to_sips(self, own: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The body for SIPS: as of any payload, without filters that are null."""
        return {name: value for name, value in super().to_sips(own).items() if value is not None}


class Result(BaseModel):
    """What a handler returns; becomes `result` of `.succeeded`, in camelCase.

    It is read from SIPS' answer as it stands: what is missing is null, a number may come where text is expected, and what it
    does not know is left to `sips.body`. One with names that SIPS spells otherwise: `class Row(Result,
    alias_generator=read_from(...))`.
    """

    model_config = ConfigDict(
        alias_generator=read_from(),
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        json_schema_serialization_defaults_required=True,
    )


class Gleaned(Result):
    """A result of an answer that no page documents: a property of another type is null, as if it were missing.

    Where SIPS' answer has none of its properties, it is not this at all: see `Answer.glean`.
    """

    @field_validator("*", mode="wrap")
    @classmethod
    def _null_where_unreadable(cls, value: Any, read: Callable[[Any], Any]) -> Any:
        try:
            return read(value)
        except ValidationError:
            return None

    @model_validator(mode="after")
    def _is_known(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("no property of it is known")
        return self


@dataclass(frozen=True, slots=True)
class PayloadWarning:
    """Something in a payload that SIPS is not known to refuse, and that may not come to what is meant.

    `pointer` is a JSON pointer into the payload (in our spelling). `detail` says what SIPS is known to do with it, and what to
    send instead; it holds no value of the payload.
    """

    code: str
    pointer: str
    detail: str


@functools.lru_cache(maxsize=512)
def pointer(place: Place) -> str:
    """A place as a JSON pointer (RFC 6901); the same few places have warnings again and again."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in place)


def refuse(faults: Iterable[tuple[Place, str]]) -> ValidationError:
    """What a validator raises that knows the places itself: each fault is a place below its model, and what is wrong there."""
    errors = [
        InitErrorDetails(type=PydanticCustomError("refused", "{detail}", {"detail": detail}), loc=place, input=None)
        for place, detail in faults
    ]
    return ValidationError.from_exception_data("payload", errors, hide_input=True)


def spelled(data: Any, name: str) -> Any:
    """The value of a property in a payload as it came, whatever its letter case; None where there is none."""
    if not isinstance(data, dict):
        return None
    return data[name] if name in data else next((data[key] for key in data if key.casefold() == name.casefold()), None)


def guess_identity(data: Any) -> Identity:
    """The customer of a payload that failed its checks, so that its consumer still hears of it."""
    code = spelled(data, "customerCode")
    return Identity(
        customer_code=code if isinstance(code, str) and 0 < len(code) <= LONGEST_CODE and code.isprintable() else None
    )
