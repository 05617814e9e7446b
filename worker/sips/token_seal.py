"""Seal a token, so that it can be kept where others look: only who has the client secret can open it.

Key and name of an entry are derived from the secret by HKDF (RFC 5869); the seal is AES-256-GCM (NIST SP 800-38D), bound to
the name, so that no entry passes for another.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from worker.sips.models import TokenRequest

if TYPE_CHECKING:
    from worker.settings import Credentials

__all__ = ["entry_key", "opened", "sealed"]

SCOPE = TokenRequest.model_fields["scope"].default

#: Bytes of a key, and of the random number that no two seals under one key may share.
KEY_BYTES, NONCE_BYTES = 32, 12


def entry_key(base_url: str, credentials: Credentials) -> str:
    """The name under which a fleet keeps the token of these credentials; tells nothing of them."""
    fingerprint = _derived(credentials, b"sips-worker: fingerprint of the secret").hex()
    return hashlib.sha256(orjson.dumps([base_url, credentials.client_id, SCOPE, fingerprint])).hexdigest()


def sealed(value: str, credentials: Credentials, key: str) -> bytes:
    """The token as it is kept under `key`."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher(credentials).encrypt(nonce, value.encode(), key.encode())


def opened(seal: bytes, credentials: Credentials, key: str) -> str | None:
    """The token; None where the seal is broken, or was made with another secret or under another key."""
    try:
        return _cipher(credentials).decrypt(seal[:NONCE_BYTES], seal[NONCE_BYTES:], key.encode()).decode()
    except (InvalidTag, ValueError):  # a ValueError: too short to be one
        return None


def _cipher(credentials: Credentials) -> AESGCM:
    return AESGCM(_derived(credentials, b"sips-worker: key of the token"))


def _derived(credentials: Credentials, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose).derive(credentials.client_secret.encode())
