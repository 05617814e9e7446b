"""Any value as a text that UTF-8 can hold."""

from __future__ import annotations

__all__ = ["text_of"]


def text_of(value: object) -> str:
    """`value` itself where it is a string, the decoded bytes where it is bytes, else its `repr`; never raises.

    What UTF-8 cannot hold (a lone surrogate, an invalid byte) stands as a backslash escape.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("utf-8", "backslashreplace")
    text = value if isinstance(value, str) else _repr(value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - a line must not be lost because a value cannot describe itself
        return f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
