"""Search for secrets in whatever was written, under the spellings in which one can end up there."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["leaked"]


def leaked(secrets: Iterable[str], written: bytes) -> list[str]:
    """Those of the secrets that stand in what was written."""
    return [secret for secret in secrets if any(spelling in written for spelling in _spellings(secret))]


def _spellings(secret: str) -> Iterator[bytes]:
    """As it is, as a form, a URL or JSON holds it, in hexadecimal (as PostgreSQL shows bytes) and in base64."""
    raw = secret.encode()
    yield from (raw, quote(secret, safe="").encode(), quote_plus(secret).encode(), json.dumps(secret)[1:-1].encode())
    yield raw.hex().encode()
    for before, clean in enumerate((0, 2, 3)):  # bytes in front, and the characters that these have a share in
        yield base64.b64encode(bytes(before) + raw)[clean:-4]
