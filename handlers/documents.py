"""Documents: `sips.invoice.pdf`, `sips.delivery.proof`.

How SIPS answers them is not documented: a PDF, JSON with documents in base64 under whatever name, or JSON with links.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Literal

from handlers.invoices import InvoiceRequest
from handlers.orders import OrderReference
from worker.messaging.topology import BULK
from worker.runtime.files import File, Files
from worker.runtime.payload import Result
from worker.runtime.registry import command
from worker.sips import Answer, Sips, Unreadable

PDF = "application/pdf"

#: How the base64 of a document begins, by its media type.
BASE64_STARTS = {"JVBERi0": PDF, "/9j/": "image/jpeg", "iVBORw0KGgo": "image/png"}

#: Names under which SIPS may tell what a document is called.
NAMES = ("fileName", "documentName", "name")

#: How deep in an answer documents and links are looked for.
DEEPEST = 50

#: What is told in the place of a body that was a document, or held some.
TOLD_IN_RESULT = "the documents stand in result"


class Document(File):
    """One document. `file_name` is SIPS' own text: to be shown, and no safe name for a file."""

    file_name: str | None


class Link(Result):
    """Where a document is said to be. The worker opens no address that an answer names, so nobody has looked at it."""

    file_name: str | None
    url: str
    fetched: Literal[False] = False


class Documents(Result):
    """Documents that SIPS sent, and links to such as it did not."""

    documents: list[Document]
    links: list[Link]


class InvoiceDocuments(Documents):
    """The document of an invoice; several, or a link, where SIPS answers so."""

    invoice_number: str


class DeliveryProofs(Documents):
    """The proofs of an order's delivery; none before there are any."""

    order_id: str


@command("sips.invoice.pdf", queue=BULK, calls=("invoicePdf",))
def fetch_invoice_pdf(request: InvoiceRequest, sips: Sips, files: Files) -> InvoiceDocuments:
    """An invoice as PDF."""
    answer = sips.call("invoicePdf", path={"invoiceNumber": request.invoice_number})
    documents, links = _documents(answer, sips, files)
    if not documents and not links:
        raise Unreadable("invoicePdf", "the answer holds neither a document nor a link", answer=answer)
    return InvoiceDocuments(invoice_number=request.invoice_number, documents=documents, links=links)


@command("sips.delivery.proof", queue=BULK, calls=("proofOfDelivery",))
def fetch_proof(request: OrderReference, sips: Sips, files: Files) -> DeliveryProofs:
    """The proofs of delivery of one order."""
    answer = sips.call("proofOfDelivery", path={"orderId": request.order_id})
    documents, links = _documents(answer, sips, files)
    none_yet = answer.body == [] or (isinstance(answer.body, dict) and answer.body.get("documents") == [])
    if not documents and not links and not none_yet:
        raise Unreadable(
            "proofOfDelivery", "the answer holds neither documents nor links, nor says that there are none", answer=answer
        )
    return DeliveryProofs(order_id=request.order_id, documents=documents, links=links)


def _documents(answer: Answer, sips: Sips, files: Files) -> tuple[list[Document], list[Link]]:
    """What an answer holds; its body is then told without them, as they would stand in the event twice."""
    if answer.body is None:
        if b"%PDF-" not in answer.raw[:1024]:  # where readers look for it (ISO 32000, annex H)
            raise Unreadable(answer.operation, "the answer is labelled as PDF and is none", answer=answer)
        sips.abridge(None, TOLD_IN_RESULT)
        return [Document(file_name=None, **dict(files.keep(answer.raw, PDF)))], []
    found = _Found()
    rest = found.look(answer.body)
    if found.documents:
        sips.abridge(rest, TOLD_IN_RESULT)
    documents = [Document(file_name=name, **dict(files.keep(content, kind))) for name, content, kind in found.documents]
    return documents, [Link(file_name=name, url=url) for name, url in found.links]


@dataclass(slots=True)
class _Found:
    """What was found in a JSON value: names, contents and media types of documents; names and addresses of links."""

    documents: list[tuple[str | None, bytes, str]] = field(default_factory=list)
    links: list[tuple[str | None, str]] = field(default_factory=list)

    def look(self, value: Any, name: str | None = None, depth: int = 0) -> Any:
        """The value without its documents, which are null then. `name` is what the object around it is called."""
        if isinstance(value, dict | list) and depth == DEEPEST:
            return value
        if isinstance(value, dict):
            own = next((value[key] for key in NAMES if isinstance(value.get(key), str)), name)
            return {key: self.look(inner, own, depth + 1) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.look(inner, name, depth + 1) for inner in value]
        if isinstance(value, str):
            if value.lower().startswith(("https://", "http://")):
                self.links.append((name, value))
            elif document := _decoded(value):
                self.documents.append((name, *document))
                return None
        return value


def _decoded(text: str) -> tuple[bytes, str] | None:
    """The document in a text, and its media type: base64, also as a `data:` address; None where it is something else."""
    encoded = text.partition(";base64,")[2] if text.startswith("data:") else text
    kind = next((kind for start, kind in BASE64_STARTS.items() if encoded.startswith(start)), None)
    if kind is None:
        return None
    try:
        return base64.b64decode("".join(encoded.split()), validate=True), kind
    except ValueError:  # as for a letter that is not ASCII; binascii.Error is one as well
        return None
