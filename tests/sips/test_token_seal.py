"""Sealing a token."""

from __future__ import annotations

import dataclasses

import pytest

from worker.settings import Credentials
from worker.sips.token_seal import entry_key, opened, sealed

US = Credentials("current", "us", "Tr0ub4dor-and-3")
KEY = entry_key("https://sips.example", US)


def test_who_has_the_secret_opens_the_seal() -> None:
    """Whatever the pair is called there."""
    seal = sealed("the-token", US, KEY)
    assert "the-token" == opened(seal, dataclasses.replace(US, pair="next"), KEY)


def test_no_two_seals_are_alike() -> None:
    """And none shows what it holds."""
    seals = {sealed("the-token", US, KEY) for _ in range(10)}
    assert 10 == len(seals)
    assert not any(b"the-token" in seal for seal in seals)


def test_another_secret_another_key_or_a_broken_seal_open_nothing() -> None:
    """An entry cannot be put in the place of another."""
    seal = sealed("the-token", US, KEY)
    assert opened(seal, dataclasses.replace(US, client_secret="other"), KEY) is None
    assert opened(seal, US, entry_key("https://other.example", US)) is None
    assert [None] * len(seal) == [opened(seal[:size], US, KEY) for size in range(len(seal))]


@pytest.mark.parametrize("changes", [{"client_id": "them"}, {"client_secret": "other"}])
def test_each_client_secret_and_address_has_an_entry_of_its_own(changes: dict[str, str]) -> None:
    """A rotated secret begins anew; the pair's name does not matter."""
    assert KEY != entry_key("https://sips.example", dataclasses.replace(US, **changes))
    assert KEY != entry_key("https://other.example", US)
    assert KEY == entry_key("https://sips.example", dataclasses.replace(US, pair="next"))
    assert not {"us", "Tr0ub4dor"} & {KEY[start : start + size] for size in (2, 9) for start in range(len(KEY))}
