"""Lists that are too long for an event: `sips.product.catalog`, `sips.branch.products`."""

from __future__ import annotations

from datetime import UTC, datetime

from worker.messaging.topology import BULK
from worker.runtime.files import JSON, File, Files
from worker.runtime.payload import Code, Identity, Payload
from worker.runtime.registry import command
from worker.sips import Sips


class CatalogRequest(Payload):
    """The catalogue takes no filter."""


class BranchProductsRequest(Payload):
    """The branch whose products are asked for."""

    branch_code: Code

    def identity(self) -> Identity:
        """The branch."""
        return Identity(branch_code=self.branch_code)


class ProductFile(File):
    """A list of products as a file: SIPS' own JSON, an array of `count` objects."""

    count: int
    fetched_at: datetime


@command("sips.product.catalog", queue=BULK, calls=("productsV2Catalog",))
def fetch_catalog(_request: CatalogRequest, sips: Sips, files: Files) -> ProductFile:
    """The whole catalogue, as a file."""
    return _products(sips, files, "productsV2Catalog")


@command("sips.branch.products", queue=BULK, calls=("activeBranchProducts",))
def fetch_branch_products(request: BranchProductsRequest, sips: Sips, files: Files) -> ProductFile:
    """The products that a branch sells, as a file."""
    return _products(sips, files, "activeBranchProducts", branchCode=request.branch_code)


def _products(sips: Sips, files: Files, operation: str, **path: str) -> ProductFile:
    """The answer goes on as it comes, so that no more of it is held than an event takes."""
    fetched_at = datetime.now(UTC)
    with files.receive(JSON) as incoming:
        count = sips.download(operation, incoming.write, path=path)
        return ProductFile(count=count, fetched_at=fetched_at, **dict(incoming.done()))
