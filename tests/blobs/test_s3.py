"""A bucket as a blob store: signatures, addresses, and what can go wrong."""

from __future__ import annotations

import hashlib
import hmac
import urllib.request
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import obstore
import pytest

from tests.blobs.conftest import store_of
from tests.s3 import S3Server
from tests.sips.servers import Server
from worker.blobs import BlobError, BlobStore

if TYPE_CHECKING:
    from pathlib import Path

DAY = 86_400


def kept(store: BlobStore, content: bytes = b"x", *, seconds: float = 30) -> str:
    """The address of a new blob."""
    with store.new("application/pdf") as blob:
        blob.write(content)
        return blob.keep(seconds)


def signature(address: str, secret: str) -> str:
    """What AWS Signature Version 4 has for a GET of an address by its query."""
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    date, region, service, _ = query["X-Amz-Credential"].split("/")[1:]
    unsigned = "&".join(sorted(pair for pair in parts.query.split("&") if not pair.startswith("X-Amz-Signature")))
    request = f"GET\n{parts.path}\n{unsigned}\nhost:{parts.netloc}\n\nhost\nUNSIGNED-PAYLOAD"
    scope = f"{date}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{query['X-Amz-Date']}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request", text):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


def test_an_address_is_signed_for_as_long_as_the_object_is_kept(s3: S3Server) -> None:
    """The server cannot check that, so it is reckoned anew here."""
    address = kept(store_of(s3.settings(BLOB_RETENTION_DAYS="2")))

    query = parse_qs(urlsplit(address).query)
    assert [str(2 * DAY)] == query["X-Amz-Expires"]
    assert [signature(address, s3.secret)] == query["X-Amz-Signature"]
    assert s3.secret not in address


def test_a_signed_address_is_opened_by_anybody_who_has_it(tmp_path: Path) -> None:
    """With the media type that the object was given."""
    with S3Server(tmp_path / "s3.log", checks_signatures=False) as server:
        address = kept(store_of(server.settings()), b"%PDF-1.7")
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert ("application/pdf", b"%PDF-1.7") == (answer.headers["Content-Type"], answer.read())


def test_an_address_below_a_base_url_is_not_signed(s3: S3Server) -> None:
    """Where receivers come another way; the prefix is the base URL's own."""
    address = kept(store_of(s3.settings(BLOB_BASE_URL="https://files.example/", BLOB_S3_PREFIX="/a/b/")))

    base, _, name = address.rpartition("/")
    assert ("https://files.example", {name: b"x"}) == (base, s3.contents("a/b"))


def test_other_objects_are_never_cleared(s3: S3Server) -> None:
    """Whoever names the wrong bucket loses nothing."""
    obstore.put(s3.store(), "thesis.pdf", b"x")
    store = store_of(s3.settings())
    kept(store)
    store.retention = timedelta(days=-1)

    assert 1 == store.clear(10)
    assert ["thesis.pdf"] == list(s3.contents())


def test_wrong_credentials_are_said(s3: S3Server) -> None:
    """With what to check, and neither the secret nor the server's page."""
    store = store_of(s3.settings(BLOB_S3_SECRET_ACCESS_KEY="Tr0ub4dor"))

    with pytest.raises(BlobError) as caught:
        kept(store)
    with pytest.raises(BlobError):
        store.clear(1)

    advice = "check the other BLOB_S3_ settings, the permissions, the network and the temporary folder's room"
    assert f"BLOB_S3_BUCKET=results cannot be used (PermissionDeniedError HTTP 403); {advice}" == str(caught.value)


def test_a_bucket_that_nobody_serves_is_said() -> None:
    """In a moment: a command waits for it."""
    settings = {"BLOB_S3_ENDPOINT": "http://127.0.0.1:1", "BLOB_S3_ACCESS_KEY_ID": "us", "BLOB_S3_SECRET_ACCESS_KEY": "x"}

    with pytest.raises(BlobError, match="BLOB_S3_BUCKET=results cannot be used"):
        kept(store_of({"BLOB_S3_BUCKET": "results"} | settings))


def test_a_bucket_that_hangs_holds_a_command_no_longer_than_it_may_be() -> None:
    """The attempt has an end of its own."""
    with Server(lambda peer: peer.server.stopping.wait(30)) as hanging:
        settings = {"BLOB_S3_ENDPOINT": hanging.url, "BLOB_S3_ACCESS_KEY_ID": "us", "BLOB_S3_SECRET_ACCESS_KEY": "x"}
        with pytest.raises(BlobError, match="TimeoutError"):
            kept(store_of({"BLOB_S3_BUCKET": "results"} | settings), seconds=0.2)
