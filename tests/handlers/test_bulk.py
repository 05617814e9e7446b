"""`sips.product.catalog`, `sips.branch.products`: lists as files."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from handlers.bulk import BranchProductsRequest, CatalogRequest, fetch_branch_products, fetch_catalog
from worker.runtime.outcomes import RefusedError
from worker.sandbox.data import PRODUCTS
from worker.sandbox.products import product_list
from worker.sips import Unreadable
from worker.sips.errors import UnsafePath

if TYPE_CHECKING:
    from tests.handlers.conftest import Scripted
    from worker.runtime.files import Files
    from worker.sandbox import Sandbox
    from worker.sips import Sips


def catalog(sips: Sips, files: Files) -> dict[str, Any]:
    """The result for the whole catalogue."""
    told: dict[str, Any] = fetch_catalog(CatalogRequest.model_validate({}), sips, files).model_dump(mode="json")
    return told


def branch(code: Any) -> BranchProductsRequest:
    """The command's payload."""
    return BranchProductsRequest.model_validate({"branchCode": code})


def test_a_list_is_told_as_a_file_with_its_count(sips: Sips, files: Files) -> None:
    """SIPS' own bytes, and when they were asked for."""
    raw = product_list(0)
    for told in (catalog(sips, files), fetch_branch_products(branch(" BRRIV "), sips, files).model_dump(mode="json")):
        assert (len(PRODUCTS), "application/json", len(raw), hashlib.sha256(raw).hexdigest(), True, raw) == (
            told["count"],
            told["mediaType"],
            told["size"],
            told["sha256"],
            told["inline"],
            base64.b64decode(told["data"]),
        )
        assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(told["fetchedAt"]) < timedelta(seconds=30)
    assert sips.abridged
    assert (None, "the answer is the file in result") == (sips.abridged.body, sips.abridged.why)


def test_without_a_store_a_long_list_is_refused(sandbox: Sandbox, sips: Sips, files: Files) -> None:
    """A short one is not, as above."""
    sandbox._faults.replace({"large": {"mib": 1}})
    with pytest.raises(RefusedError) as caught:
        catalog(sips, files)
    assert "blob-store-missing" == caught.value.problem.code


@pytest.mark.parametrize("body", [{}, {"message": "System Error", "errors": []}, [1], b"[{}", b"<<< not JSON >>>"])
def test_what_is_no_list_of_products_is_unreadable(scripted: Scripted, files: Files, body: Any) -> None:
    """It is asked for again, and no file is told."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    with pytest.raises(Unreadable):
        catalog(scripted.answers(raw), files)


def test_a_code_that_would_change_the_path_is_not_sent(scripted: Scripted, files: Files) -> None:
    """It is none of SIPS'."""
    before = len(scripted.sent)
    with pytest.raises(UnsafePath):
        fetch_branch_products(branch(".."), scripted.answers([]), files)
    assert before == len(scripted.sent)
