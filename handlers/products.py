"""Products: `sips.product.by_item_codes`, `.convert`, `.colors`, `.units`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from worker.messaging.topology import QUERIES
from worker.runtime.payload import Code, Identity, Number, Payload, Result, Text, Whole
from worker.runtime.registry import command
from worker.runtime.spelling import read_from, sent_to
from worker.sips import Sips


class ItemCodesRequest(Payload):
    """Item codes to look up at a branch."""

    branch_code: Code
    item_codes: list[Code] = Field(min_length=1)

    def identity(self) -> Identity:
        """The branch."""
        return Identity(branch_code=self.branch_code)


class CodedItem(Result):
    """One of the item codes; it stands for a product with one of its options."""

    item_code: str | None = None
    available_at_branch: bool | None = None
    selected_option: str | None = None


class CodedProduct(Result, alias_generator=read_from("productsV2CatalogByItemCodes")):
    """A product and those of its items that were asked for."""

    product_id: Whole | None = None
    product_name: str | None = None
    items: list[CodedItem] | None = None


class CodedProducts(Result):
    """The products that the item codes belong to."""

    branch_code: str
    products: list[CodedProduct]


@command("sips.product.by_item_codes", queue=QUERIES, calls=("productsV2CatalogByItemCodes",))
def find_by_item_codes(request: ItemCodesRequest, sips: Sips) -> CodedProducts:
    """Products by item code, and whether a branch has them."""
    body = request.to_sips()
    answer = sips.call("productsV2CatalogByItemCodes", path={"branchCode": body.pop("branchCode")}, json=body)
    return CodedProducts(branch_code=request.branch_code, products=answer.parse(list[CodedProduct]))


class GenericItem(Payload, alias_generator=sent_to("productsV2CatalogConvert")):
    """An item of no one branch."""

    generic_item_code: Text


class ConversionRequest(Payload, alias_generator=sent_to("productsV2CatalogConvert")):
    """Generic item codes to convert for a branch, which is named by its number."""

    branch_id: Whole
    items: list[GenericItem] = Field(min_length=1)


class ConvertedItem(Result):
    """What a generic item code stands for; without a product where `conversion_found` is false."""

    generic_item_code: str | None = None
    conversion_found: bool | None = None
    product_id: Whole | None = None
    web_name: str | None = None
    category: str | None = None
    manufacturer: str | None = None


class ConvertedItems(Result):
    """One row for each code, as SIPS answers them."""

    branch_id: int
    items: list[ConvertedItem]


@command("sips.product.convert", queue=QUERIES, calls=("productsV2CatalogConvert",))
def convert_items(request: ConversionRequest, sips: Sips) -> ConvertedItems:
    """Product ids of generic item codes."""
    answer = sips.call("productsV2CatalogConvert", json=request.to_sips())
    return ConvertedItems(branch_id=request.branch_id, items=answer.parse(list[ConvertedItem]))


class ColorRequest(Payload):
    """What SIPS wants to know is not documented: every property is passed on as it is."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> Self:
        if not self.__pydantic_extra__:
            raise ValueError("give what SIPS is to recommend colors for; its properties are passed on as they are")
        return self


class ColorRecommendations(Result):
    """Nothing is promised: what SIPS answers is not documented, and stands in `sips.body`."""


@command("sips.product.colors", queue=QUERIES, calls=("colorRecommendations",))
def recommend_colors(request: ColorRequest, sips: Sips) -> ColorRecommendations:
    """Colors that go with a product."""
    sips.call("colorRecommendations", json=request.to_sips())
    return ColorRecommendations()


class UnitsRequest(Payload):
    """The item whose units are asked for."""

    item_code: Code


class UnitConversion(Result, alias_generator=read_from("uomConversion")):
    """How much of one unit another is: a factor of 0.02 from PAL to RL says that 50 RL are in 1 PAL, so divide by it."""

    from_uom: str | None = None
    to_uom: str | None = None
    conversion_factor: Number | None = None
    description: str | None = None
    item_code: str | None = None
    item_description: str | None = None
    item_size: str | None = None


class UnitConversions(Result):
    """An item's units."""

    item_code: str
    conversions: list[UnitConversion]


@command("sips.product.units", queue=QUERIES, calls=("uomConversion",))
def convert_units(request: UnitsRequest, sips: Sips) -> UnitConversions:
    """Units of an item, and how they convert."""
    answer = sips.call("uomConversion", path={"itemCode": request.item_code})
    return UnitConversions(
        item_code=request.item_code, conversions=answer.parse(list[UnitConversion], under="itemConversionList")
    )
