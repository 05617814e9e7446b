"""Tells calls of SIPS from those of anybody else; each comparison takes as long for a near miss as for a far one.

SRS' own scheme is not known: a secret in the path, one in a header, an HMAC of the body, or several of them together.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from worker.settings import Settings

__all__ = ["PATH", "Verifiers"]

#: The address that SIPS calls; where there is a path secret, it follows as the last segment.
PATH = "/webhooks/sips"


@dataclass(frozen=True, slots=True)
class Verifiers:
    """Secrets of each kind, of which one must fit; none = that kind is not asked for. Header names are in small letters."""

    path: tuple[str, ...] = field(default=(), repr=False)
    header: str = ""
    header_secrets: tuple[str, ...] = field(default=(), repr=False)
    hmac_header: str = ""
    hmac_secrets: tuple[str, ...] = field(default=(), repr=False)
    hmac_algorithm: str = "sha256"
    hmac_encoding: str = "hex"

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say, with secret files read anew.

        Raises:
            SettingsError: a secret file cannot be read, or what it holds cannot be used.
        """
        return cls(
            path=settings.webhook_secrets("path"),
            header=settings.webhook_header,
            header_secrets=settings.webhook_secrets("header"),
            hmac_header=settings.webhook_hmac_header,
            hmac_secrets=settings.webhook_secrets("hmac"),
            hmac_algorithm=settings.webhook_hmac_algorithm,
            hmac_encoding=settings.webhook_hmac_encoding,
        )

    @property
    def secrets(self) -> tuple[str, ...]:
        """All of them."""
        return (*self.path, *self.header_secrets, *self.hmac_secrets)

    def knows_path(self, path: str) -> bool:
        """Whether this is our address, its secret included."""
        return _is_one_of(path.encode(), [f"{PATH}/{secret}" for secret in self.path] or [PATH])

    def knows_headers(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the secret header is right, or none is asked for."""
        return not self.header_secrets or _is_one_of(headers.get(self.header.encode(), b""), self.header_secrets)

    def knows_body(self, headers: Mapping[bytes, bytes], body: bytes) -> bool:
        """Whether the body was signed with one of our keys, or no signature is asked for."""
        if not self.hmac_secrets:
            return True
        given = self._digest_in(headers.get(self.hmac_header.encode(), b""))
        digests = [hmac.digest(secret.encode(), body, self.hmac_algorithm) for secret in self.hmac_secrets]
        return sum(hmac.compare_digest(given, digest) for digest in digests) > 0  # unlike any(), with every one

    def _digest_in(self, signature: bytes) -> bytes:
        """The digest in a header such as `sha256=6ab1…`; the algorithm in front may be missing."""
        text = signature.strip().removeprefix(f"{self.hmac_algorithm}=".encode())
        try:
            return base64.b64decode(text, validate=True) if self.hmac_encoding == "base64" else bytes.fromhex(text.decode())
        except (ValueError, binascii.Error):
            return b""


def _is_one_of(given: bytes, secrets: list[str] | tuple[str, ...]) -> bool:
    # Of hashes, as the time for two texts would tell whether they are of one length; and unlike any(), with every secret.
    digest = hashlib.sha256(given).digest()
    return sum(hmac.compare_digest(digest, hashlib.sha256(secret.encode()).digest()) for secret in secrets) > 0
