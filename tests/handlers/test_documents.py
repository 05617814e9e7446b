"""`sips.invoice.pdf`, `sips.delivery.proof`: documents in whatever form SIPS answers them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from handlers.documents import DeliveryProofs, Documents, InvoiceDocuments, fetch_invoice_pdf, fetch_proof
from handlers.invoices import InvoiceRequest
from handlers.orders import OrderReference
from worker.sandbox.files import pdf
from worker.sandbox.state import EXAMPLE_ORDER_ID
from worker.sips import Sips, Unreadable
from worker.sips.errors import PathUnconfirmed, UnsafePath

if TYPE_CHECKING:
    from tests.handlers.conftest import Scripted
    from worker.runtime.files import Files
    from worker.runtime.payload import Result

#: An invoice of the stand-in.
INVOICE = "0019073403-001"

PDF = pdf(f"Invoice {INVOICE}", 0)
ENCODED = base64.b64encode(PDF).decode()
JPEG = base64.b64encode(b"\xff\xd8\xff\xe0 picture").decode()
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n picture").decode()


def invoice(number: str = "8123") -> InvoiceRequest:
    """The command's payload."""
    return InvoiceRequest.model_validate({"invoiceNumber": number})


def proof(order_id: str = "1") -> OrderReference:
    """The command's payload."""
    return OrderReference.model_validate({"orderId": order_id})


def shown(told: Result) -> tuple[list[tuple[str | None, str, bytes]], list[tuple[str | None, str]]]:
    """Name, media type and bytes of each document, and name and address of each link."""
    assert isinstance(told, Documents)
    documents = [(one.file_name, one.media_type, base64.b64decode(one.data or "")) for one in told.documents]
    return documents, [(link.file_name, link.url) for link in told.links]


@pytest.mark.parametrize("content_type", ["application/pdf", "Application/PDF; qs=0.001", "application/octet-stream", ""])
def test_a_pdf_is_told_whatever_it_is_labelled(scripted: Scripted, files: Files, content_type: str) -> None:
    """Of an invoice and of a delivery; there is no body to tell beside it."""
    for fetch in (lambda sips: fetch_invoice_pdf(invoice(), sips, files), lambda sips: fetch_proof(proof(), sips, files)):
        sips = scripted.answers(PDF, content_type=content_type)
        assert ([(None, "application/pdf", PDF)], []) == shown(fetch(sips))
        assert sips.abridged
        assert (None, "the documents stand in result") == (sips.abridged.body, sips.abridged.why)


@pytest.mark.parametrize(
    ("body", "documents", "rest"),
    [
        ({"pdf": ENCODED}, [(None, "application/pdf", PDF)], {"pdf": None}),
        (
            {"invoiceNumber": "8123", "fileName": "8123.pdf", "file": {"content": f"data:application/pdf;base64,{ENCODED}"}},
            [("8123.pdf", "application/pdf", PDF)],
            {"invoiceNumber": "8123", "fileName": "8123.pdf", "file": {"content": None}},
        ),
        (
            [
                {"documentName": "../../a", "data": "\r\n".join([ENCODED[:76], ENCODED[76:]])},
                {"data": JPEG},
                {"sign": PNG, "by": "J"},
            ],
            [
                ("../../a", "application/pdf", PDF),
                (None, "image/jpeg", base64.b64decode(JPEG)),
                (None, "image/png", base64.b64decode(PNG)),
            ],
            [{"documentName": "../../a", "data": None}, {"data": None}, {"sign": None, "by": "J"}],
        ),
    ],
)
def test_documents_in_json_are_found_under_whatever_name(
    scripted: Scripted, files: Files, body: Any, documents: list[Any], rest: Any
) -> None:
    """By what they begin with; what else is answered stands in the body, which does not repeat them."""
    sips = scripted.answers(body)
    assert (documents, []) == shown(fetch_invoice_pdf(invoice(), sips, files))
    assert (rest, True) == (sips.abridged and sips.abridged.body, sips.answer is not None)


def test_links_are_told_and_never_opened(scripted: Scripted, files: Files) -> None:
    """An answer could name any address of the worker's own network; its body is told as it is."""
    body = {"documents": [{"fileName": "a.pdf", "url": "https://documents.example/a"}, {"href": "HTTP://169.254.169.254/"}]}
    before = len(scripted.sent)
    sips = scripted.answers(body)

    told = fetch_proof(proof(), sips, files)

    assert ([], [("a.pdf", "https://documents.example/a"), (None, "HTTP://169.254.169.254/")]) == shown(told)
    assert [False, False] == [link["fetched"] for link in told.model_dump(mode="json")["links"]]
    assert (None, 1) == (sips.abridged, len(scripted.sent) - before)


@pytest.mark.parametrize("body", [[], {"documents": []}, {"orderId": 1, "documents": []}])
def test_an_order_may_have_no_proof_yet(scripted: Scripted, files: Files, body: Any) -> None:
    """Which is said in so many words; an invoice has its document."""
    assert ([], []) == shown(fetch_proof(proof(), scripted.answers(body), files))
    with pytest.raises(Unreadable):
        fetch_invoice_pdf(invoice(), scripted.answers(body), files)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message": "System Error", "errors": []},
        {"documents": None},
        {"documents": [1, None, {"fileName": "a.pdf"}]},
        {"pdf": "JVBERi0 not base64!"},
        {"pdf": "JVBERi0é"},
        {"pdf": "data:image/jpeg;base64,/9j/é"},
        {"pdf": ""},
        {"a" * 3: [[[["x"]]]]},
    ],
)
def test_an_answer_without_documents_is_unreadable(scripted: Scripted, files: Files, body: Any) -> None:
    """It proves nothing; a repeat may bring more."""
    with pytest.raises(Unreadable):
        fetch_proof(proof(), scripted.answers(body), files)
    with pytest.raises(Unreadable):
        fetch_invoice_pdf(invoice(), scripted.answers(body), files)


@pytest.mark.parametrize("raw", [b"", b"no document", b" " * 2_000 + b"%PDF-1.7"])
def test_what_is_only_labelled_as_a_document_is_unreadable(scripted: Scripted, files: Files, raw: bytes) -> None:
    """Nobody could open it."""
    with pytest.raises(Unreadable, match="is labelled as PDF and is none"):
        fetch_invoice_pdf(invoice(), scripted.answers(raw, content_type="application/pdf"), files)


def test_a_deeply_nested_answer_is_survived(scripted: Scripted, files: Files) -> None:
    """Documents are looked for down to a depth that no answer has."""
    body = b"[" * 1_000 + f'"{ENCODED}"'.encode() + b"]" * 1_000
    with pytest.raises(Unreadable):
        fetch_invoice_pdf(invoice(), scripted.answers(body), files)


def test_the_documented_answers_are_read(sips: Sips, files: Files) -> None:
    """As the stand-in gives them."""
    told = fetch_invoice_pdf(invoice(INVOICE), sips, files)
    assert isinstance(told, InvoiceDocuments)
    assert (INVOICE, [(None, "application/pdf", PDF)]) == (told.invoice_number, shown(told)[0])
    proofs = fetch_proof(proof(EXAMPLE_ORDER_ID), sips, files)
    assert isinstance(proofs, DeliveryProofs)
    assert (EXAMPLE_ORDER_ID, [f"proof-{EXAMPLE_ORDER_ID}.pdf"]) == (proofs.order_id, [link.file_name for link in proofs.links])
    with pytest.raises(PathUnconfirmed):
        fetch_proof(proof("1"), sips, files)


def test_a_number_that_would_change_the_path_is_not_sent(scripted: Scripted, files: Files) -> None:
    """It is none of SIPS'."""
    before = len(scripted.sent)
    with pytest.raises(UnsafePath):
        fetch_invoice_pdf(invoice(".."), scripted.answers(PDF), files)
    with pytest.raises(UnsafePath):
        fetch_proof(proof("."), scripted.answers(PDF), files)
    assert before == len(scripted.sent)
