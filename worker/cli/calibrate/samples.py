"""An answer without personal data: its structure, codes, amounts and kinds stay, everything that a person may have typed goes.

What is not known to be harmless is replaced: text stays only under a name that ends as those of codes, ids, dates and kinds
do, and only where it looks like one. In its place stands what it was: <name>, <phone>, <email>, <address>, <url> or <text>.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import orjson

from worker.cli.errors import CommandError

__all__ = ["Samples", "cleaned"]

#: Items that are kept of each list.
FEW = 3

#: The folder and its files are for their owner: what is left may still tell what a customer buys at which price.
FOLDER_MODE, FILE_MODE = 0o700, 0o600

#: Words in a property's name that say which personal data it holds; the first row that fits counts.
PERSONAL = {
    "phone": {"phone", "fax", "mobile", "tel", "telephone", "cell"},
    "email": {"email", "emails", "mail"},
    "url": {"url", "urls", "uri", "link", "links", "href"},
    "address": {
        *("address", "addresses", "street", "city", "town", "state", "zip", "postal", "postcode", "county"),
        *("latitude", "longitude", "lat", "lng", "coordinates", "directions"),
    },
    "name": {"name", "names", "contact", "contacts", "attention", "signed", "signer", "driver", "person", "user"},
}

#: Last words of the names under which text is a code, an id, a date or a kind.
HARMLESS = {
    *("code", "codes", "id", "ids", "uom", "uoms", "date", "status", "type", "types", "kind", "category", "brand"),
    *("indicator", "method", "methods", "manufacturer", "size", "measure", "color", "option"),
}

#: What stands before "number" where it names a thing of SIPS; a PO number may be a person's name.
NUMBERED = {"order", "invoice", "shipment", "sequence", "account", "line", "customer"}

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_CODE = re.compile(r"[\w./:+\- ]{0,40}", re.ASCII)
_EMAIL = re.compile(r"\S@\S")
_PHONE = re.compile(r"(?=(?:\D*\d){10})\+?[\d().\- ]{10,20}")
_URL = re.compile(r"https?://", re.IGNORECASE)
_PROPERTY = re.compile(r"[A-Za-z_$@][\w$@.\-]{0,60}", re.ASCII)

#: What is nested deeper is no answer of SIPS'.
_DEEPEST = 64

#: A number with so many digits is no amount and no id of SIPS', whose ids have eight; it may be somebody's phone.
_LONG_NUMBER = 10**9


def cleaned(body: Any, name: str = "", depth: int = 0) -> Any:
    """A JSON value without personal data; `name` is the property that it stands under, `depth` levels down."""
    if depth > _DEEPEST:
        return "<deeper>"
    if isinstance(body, dict):
        return {_key(key, index): cleaned(value, key, depth + 1) for index, (key, value) in enumerate(body.items())}
    if isinstance(body, list):
        return [cleaned(item, name, depth + 1) for item in body[:FEW]]
    if isinstance(body, str):
        return body if not body or _is_harmless(body, name) else f"<{_kind(body, name)}>"
    if isinstance(body, int | float) and not isinstance(body, bool):
        return 0 if _of_person(name) or (abs(body) >= _LONG_NUMBER and not _names_a_thing(name)) else body
    return body


def _key(key: str, index: int) -> str:
    """A property's name; what cannot be one is data as well."""
    return key if _PROPERTY.fullmatch(key) and not _EMAIL.search(key) else f"<key {index}>"


def _is_harmless(text: str, name: str) -> bool:
    return _of_person(name) is None and _names_a_thing(name) and _CODE.fullmatch(text) is not None


def _names_a_thing(name: str) -> bool:
    words = _words(name)
    if not words:
        return False
    return words[-1] in HARMLESS or (words[-1] == "number" and words[-2:-1] != [] and words[-2] in NUMBERED)


def _of_person(name: str) -> str | None:
    words = set(_words(name))
    return next((kind for kind, own in PERSONAL.items() if words & own), None)


def _words(name: str) -> list[str]:
    if name.casefold().endswith("uoms"):  # of `uoMs` no rule makes words
        return ["uoms"]
    return [word.lower() for word in _WORDS.findall(name)]


def _kind(text: str, name: str) -> str:
    if _EMAIL.search(text):
        return "email"
    if _URL.match(text):
        return "url"
    return _of_person(name) or ("phone" if _PHONE.fullmatch(text) else "text")


class Samples:
    """The folder that samples are kept in, a file for each operation; without a folder nothing is kept.

    Raises:
        CommandError: it cannot be made or written to.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = None if folder is None else Path(folder)
        if self._folder is not None:
            try:
                self._folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            except OSError as error:
                raise CommandError(f"the folder {folder} cannot be made: {error.strerror}; name another") from None

    def keep(self, operation: str, told: dict[str, Any], body: Any) -> None:
        """Write the sample of an operation, in the place of an older one; `told` says where it comes from.

        Raises:
            CommandError: it cannot be written.
        """
        if self._folder is None:
            return
        content = orjson.dumps(told | {"body": cleaned(body)}, option=orjson.OPT_INDENT_2) + b"\n"
        path = self._folder / f"{operation}.json"
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
            with os.fdopen(number, "wb") as file:
                file.write(content)
        except OSError as error:
            raise CommandError(f"{path} cannot be written: {error.strerror}; name another folder") from None
