"""One spelling for every property, camelCase, and SIPS' own spellings accepted beside it (`worker.sips.names`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import AliasChoices, AliasGenerator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from worker.sips.names import NAMES, variants

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pydantic import BaseModel

__all__ = ["by_spelling", "one_spelling_each", "read_from", "sent_to"]


def sent_to(*operations: str) -> AliasGenerator:
    """Names of a payload's properties: ours and SIPS' are read, and SIPS' are written as the first operation wants them."""
    wanted = NAMES.get(operations[0], {}) if operations else {}

    def written(field: str) -> str:
        return wanted.get(to_camel(field), to_camel(field))

    return AliasGenerator(validation_alias=_reading(operations), serialization_alias=written)


def read_from(*operations: str) -> AliasGenerator:
    """Names of a result's properties: SIPS' are read from the operations' answers, ours are written."""
    return AliasGenerator(validation_alias=_reading(operations), serialization_alias=to_camel)


def _reading(operations: Sequence[str]) -> Callable[[str], str | AliasChoices]:
    tables = [NAMES.get(operation, {}) for operation in operations]

    def read(field: str) -> str | AliasChoices:
        ours = to_camel(field)
        choices = [ours, *(names[ours] for names in tables if ours in names), *variants(ours)]
        return AliasChoices(*dict.fromkeys(choices)) if len(choices) > 1 else ours

    return read


def by_spelling(model: type[BaseModel]) -> dict[str, str]:
    """Every spelling of a model's properties, without regard to letter case, to ours."""
    spellings: dict[str, str] = {}
    for name, field in model.model_fields.items():
        alias = field.validation_alias or to_camel(name)
        choices = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else [str(alias)]
        spellings |= {choice.casefold(): choices[0] for choice in (name, *choices)}
    return spellings


def one_spelling_each(unknown: Iterable[str], spellings: Mapping[str, str]) -> None:
    """Refuse a property that the model does not know but SIPS might take for one that it does.

    Raises:
        PydanticCustomError: it is a second spelling, or one in a letter case that SIPS was never seen to use.
    """
    for name in unknown:
        ours = spellings.get(name.casefold())
        if ours is not None:
            raise PydanticCustomError(
                "two_spellings", "{name} is another spelling of {ours}; give it once, as {ours}", {"name": name, "ours": ours}
            )
