"""Samples without personal data."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.acceptance.conftest import DATA
from tests.handlers.commands import CASES
from worker.cli.calibrate.fields import share
from worker.cli.calibrate.samples import Samples, cleaned
from worker.cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        # What a program needs to know of an answer stays.
        ("orderId", "35818786", "35818786"),
        ("orderID", 35818786, 35818786),
        ("queueId", "0b54be43-0d87-5b2e-9b0a-6f1f7f5a3c11", "0b54be43-0d87-5b2e-9b0a-6f1f7f5a3c11"),
        ("invoiceNumber", "0019073403-001", "0019073403-001"),
        ("customerCode", "DEMO001", "DEMO001"),
        ("deliveryStatus", "En Route", "En Route"),
        ("invoiceDate", "2020-09-22T00:00:00", "2020-09-22T00:00:00"),
        ("validIndicator", "Y", "Y"),
        ("defualtUOM", "SQ", "SQ"),
        ("uoMs", ["SQ", "BD"], ["SQ", "BD"]),
        ("invoiceTotal", 3353.83, 3353.83),
        ("stock", True, True),
        ("deliveredDate", None, None),
        ("addressLine2", "", ""),
        # What a person may have typed, or is, goes.
        ("customerName", "JANE DOE ROOFING", "<name>"),
        ("productName", "GAF Timberline", "<name>"),
        ("signedBy", "Jane", "<name>"),
        ("customerContactPhone", "(631) 555-0100", "<phone>"),
        ("fax", 6315550100, 0),
        ("phoneNumber", "6315550100", "<phone>"),
        ("customerContactEmail", "jane@example.com", "<email>"),
        ("addressLine1", "12 MAIN ST", "<address>"),
        ("customerZipCode", "11772", "<address>"),
        ("customerState", "NY", "<address>"),
        ("latitude", 40.92, 0),
        ("PONumber", "DOE GARAGE", "<text>"),
        ("jobNumber", "7GP", "<text>"),
        ("notes", "<p>call Jane</p>", "<text>"),
        ("url", "https://documents.example/jane.pdf", "<url>"),
        # Nor does it stay under a harmless name, or under none.
        ("statusCode", "ask jane@example.com", "<email>"),
        ("status", "Left with Jane Doe, the neighbour; she signed for all of it", "<text>"),
        ("something", "(631) 555-0100", "<phone>"),
        ("something", 6315550100, 0),
        ("", "Jane", "<text>"),
        ("", ["Jane"], ["<text>"]),
    ],
)
def test_a_value_is_kept_or_replaced_by_what_it_was(name: str, value: Any, kept: Any) -> None:
    """By the name that it stands under, and by how it looks."""
    assert {name: kept} if name else kept == cleaned({name: value} if name else value)


def test_the_structure_stays_and_long_lists_are_cut() -> None:
    """Also of what is not known."""
    body = {"a": [{"b": {"orderId": number}} for number in range(9)], "jane@example.com": 1, "Jane Doe": {"id": "x"}}

    assert {"a": [{"b": {"orderId": number}} for number in range(3)], "<key 1>": 1, "<key 2>": {"id": "x"}} == cleaned(body)


def test_an_answer_that_is_nested_without_end_is_cut() -> None:
    """It must not stop a calibration."""
    body: Any = "Jane Doe"
    for _ in range(900):
        body = {"a": [body]}
    assert "<deeper>" in json.dumps(cleaned(body))
    assert (1, 1) == share(body, None, ("a",))


@pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*response.json")))
def test_no_person_of_the_documented_examples_is_in_a_sample(name: str) -> None:
    """Names, addresses, phones and e-mail addresses are all gone."""
    text = json.dumps(cleaned(json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))))

    assert not re.search(r"@|\d{3}[-. ]\d{3}[-. ]\d{4}|street|avenue|patchogue|roofing|construction", text, re.IGNORECASE)


def test_no_person_of_any_other_answer_is_in_a_sample() -> None:
    """Of those that the commands' tests are answered with."""
    text = json.dumps([cleaned(answer) for case in CASES for answer in case.answers])

    assert not re.search(r"98765|street|patchogue|riverhead|11772|1 A|40\.92", text, re.IGNORECASE)


NAMES = st.sampled_from(["notes", "name", "phone", "customerContactInfo", "PONumber", "statusText", "", "x"])


@given(st.recursive(st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner), max_leaves=20))
def test_whatever_a_text_is_it_goes(body: Any) -> None:
    """Under a name that does not say that it is harmless: a placeholder or nothing is left."""
    assert not [text for text in _texts(cleaned(body)) if not re.fullmatch(r"|<(name|phone|email|address|url|text)>", text)]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    else:
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def test_a_sample_is_a_file_for_its_owner(tmp_path: Path) -> None:
    """In a folder that is made, in the place of an older one."""
    folder = tmp_path / "some" / "samples"
    for body in ({"name": "Jane"}, {"customerCode": "DEMO001"}):
        Samples(str(folder)).keep("customerDetails", {"status": 200}, body)

    (file,) = folder.iterdir()
    assert {"status": 200, "body": {"customerCode": "DEMO001"}} == json.loads(file.read_text(encoding="utf-8"))
    assert (0o600, 0o700) == (file.stat().st_mode & 0o777, folder.stat().st_mode & 0o777)


def test_a_folder_that_cannot_be_made_is_said_at_once(tmp_path: Path) -> None:
    """Before SIPS is asked."""
    (tmp_path / "file").write_text("")

    with pytest.raises(CommandError, match=r"cannot be made: .*; name another"):
        Samples(str(tmp_path / "file"))
