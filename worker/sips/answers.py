"""An answer of SIPS: its bytes, read as far as JSON; what it means is for others to judge."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, TypeVar, cast

import orjson
from pydantic import TypeAdapter, ValidationError

from worker.sips.errors import Unreadable

__all__ = ["HTML", "PDF", "Answer", "is_json", "media_type", "parse_json", "parse_retry_after"]

Shape = TypeVar("Shape")

#: Media types of web pages and of documents; bodies that plainly are one count as this whatever they are labelled.
HTML = "text/html"
PDF = "application/pdf"

_HTML_TYPES = frozenset({HTML, "application/xhtml+xml"})
_HTML_STARTS = (b"<!doctype html", b"<html")
_PDF_START = b"%pdf-"

#: Longest wait (seconds) that a Retry-After is believed, one day.
MAX_RETRY_AFTER = 86_400.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer.

    Attributes:
        operation: Id of the operation that was called.
        status: HTTP status.
        body: The parsed JSON; `None` where the body is not JSON.
        raw: The body's bytes, decompressed and without a byte order mark; none where they went to a sink.
        media_type: Lower case and without parameters, such as `application/json`; empty where none was given.
        seconds: From the start of the call to the last byte.
        retry_after: Seconds to wait, where the answer has a readable Retry-After.
        streamed: Whether the body went to a sink.
    """

    operation: str
    status: int
    body: Any = field(repr=False)
    raw: bytes = field(repr=False)
    media_type: str
    seconds: float
    retry_after: float | None = None
    streamed: bool = False

    def parse(self, shape: type[Shape], under: str | None = None) -> Shape:
        """The body as a model or as a list of models (`list[PriceLine]`), or so what stands in it `under` a name.

        Raises:
            Unreadable: The body has another shape; the message names the places, never the values.
        """
        adapter: TypeAdapter[Shape] = _adapter(cast("Any", shape))
        properties = self.body if isinstance(self.body, dict) else {}
        try:
            return adapter.validate_python(self.body if under is None else properties.get(under))
        except ValidationError as error:
            root = () if under is None else (under,)
            places = ", ".join(_pointer((*root, *problem["loc"])) for problem in error.errors(include_url=False)[:3])
        raise Unreadable(
            self.operation,
            f"the answer has not the expected shape at {places}; `sips-worker calibrate --only {self.operation}` tells more",
            answer=self,
        )

    def glean(self, shape: type[Shape], under: str | None = None) -> Shape | None:
        """As `parse`, for an answer that no page documents: what cannot be read is `None`, and `under` may be left out."""
        adapter: TypeAdapter[Shape] = _adapter(cast("Any", shape))
        properties: dict[str | None, Any] = self.body if isinstance(self.body, dict) else {}
        try:
            return adapter.validate_python(properties.get(under, self.body))
        except ValidationError:
            return None


@lru_cache(maxsize=64)
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _pointer(location: tuple[int | str, ...]) -> str:
    return "/" + "/".join(str(part) for part in location)


def parse_json(raw: bytes) -> Any:
    """The JSON value of a body, or `None`."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def is_json(body: object) -> bool:
    """Whether a parsed body is an object or an array, as all of SIPS' documented bodies are."""
    return isinstance(body, dict | list)


def media_type(content_type: str, raw: bytes) -> str:
    """The media type of a body: its label without parameters, or `HTML` or `PDF` where the body plainly is one."""
    label = content_type.partition(";")[0].strip().lower()
    start = raw[:64].lstrip().lower()
    if label in _HTML_TYPES or start.startswith(_HTML_STARTS):
        return HTML
    return PDF if start.startswith(_PDF_START) else label


def parse_retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a number of seconds or an HTTP date (RFC 9110, 10.2.3); `None` where unreadable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    if seconds != seconds:  # noqa: PLR0124 - "nan" is a float as well
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)
