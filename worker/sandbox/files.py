"""Documents and long lists that the sandbox answers, as large as is wanted."""

from __future__ import annotations

from math import ceil
from typing import Any

import orjson

__all__ = ["MIB", "PDF", "json_list", "pdf", "proofs"]

MIB = 1024 * 1024

PDF = "application/pdf"


def pdf(title: str, mib: float) -> bytes:
    """A document of one page without anything on it, and at least so many MiB."""
    comment = b"% Sandbox: " + ascii(title).encode() + b"\n" + b"%" * int(mib * MIB)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] >>",
    ]
    body, places = b"%PDF-1.4\n" + comment + b"\n", []
    for number, content in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    entries = b"".join(b"%010d 00000 n \n" % place for place in places)
    return body + b"xref\n0 4\n0000000000 65535 f \n%strailer\n<< /Size 4 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        entries,
        len(body),
    )


def json_list(rows: list[dict[str, Any]], mib: float) -> bytes:
    """Rows as JSON: once, or as often as fills at least so many MiB."""
    once = b",".join(orjson.dumps(row) for row in rows)
    times = max(1, ceil(mib * MIB / len(once)))
    return b"[" + b",".join([once] * times) + b"]"


def proofs(order_id: int) -> dict[str, Any]:
    """The proofs of an order's delivery, as links."""
    name = f"proof-{order_id}.pdf"
    return {"orderId": order_id, "documents": [{"fileName": name, "url": f"https://documents.example/proof/{name}"}]}
