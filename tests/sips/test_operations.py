"""The table of operations, and the paths made from it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from worker.settings import SettingsError
from worker.sips.errors import Executed, UnsafePath
from worker.sips.operations import OPERATIONS, Confidence, Kind, resolve, resolve_all

DESCRIPTION = Path(__file__).parents[1] / "data" / "sips" / "openapi.yaml"

DELIVERY = OPERATIONS["deliveryDetails"]


def test_the_table_is_that_of_the_description() -> None:
    """Ids, methods, paths, sources and how sure the paths are, for each of the 30 operations."""
    paths = yaml.safe_load(DESCRIPTION.read_text(encoding="utf-8"))["paths"]
    described = {
        row["operationId"]: (method.upper(), path, row["x-path-confidence"], row["x-source"])
        for path, methods in paths.items()
        for method, row in methods.items()
    }
    table = {row.id: (row.method, row.path, str(row.confidence), row.source) for row in OPERATIONS.values()}
    assert described == table
    assert 30 == len(table)


def test_only_submits_change_something() -> None:
    """Everything else may be repeated, POST or not."""
    assert {"ordersV2Submit", "ordersSubmitV1"} == {row.id for row in OPERATIONS.values() if row.kind is Kind.MUTATION}


def test_path_parameters_are_filled_in() -> None:
    """Text or number; a path without parameters stays as it is."""
    assert "/orders/35818786/deliveries" == DELIVERY.filled_path({"orderId": 35818786})
    assert "/orders/v2/Submit" == OPERATIONS["ordersV2Submit"].filled_path({})


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text not in {".", ".."}))
def test_a_path_parameter_stays_one_segment(value: str) -> None:
    """Whatever an order id holds, it cannot reach another path, a query or a fragment."""
    path = DELIVERY.filled_path({"orderId": value})
    assert ["", "orders", value, "deliveries"] == [unquote(segment) for segment in path.split("/")]
    assert not set(path) & set("?#\\ \r\n;")


@pytest.mark.parametrize("value", ["", ".", "..", "\ud800"])
def test_a_path_parameter_that_would_change_the_path_is_refused(value: str) -> None:
    """Dot segments are resolved by servers and proxies even if encoded; the message does not show the value."""
    with pytest.raises(UnsafePath) as caught:
        DELIVERY.filled_path({"orderId": value})
    assert Executed.NO == caught.value.executed
    assert not caught.value.retryable
    assert str(caught.value).startswith("deliveryDetails: the path parameter orderId ")


@pytest.mark.parametrize("values", [{}, {"orderId": "1", "other": "2"}, {"other": "2"}])
def test_other_parameters_are_a_mistake_in_the_code(values: dict[str, str]) -> None:
    """Not of the payload, so not an error of SIPS."""
    with pytest.raises(ValueError, match=r"deliveryDetails takes the path parameters \['orderId'\]"):
        DELIVERY.filled_path(values)


@pytest.mark.parametrize("name", ["deliveryDetails", "deliverydetails", "DELIVERYDETAILS"])
def test_a_setting_replaces_a_path(name: str) -> None:
    """However the environment spells the operation; a path that was set is no guess any more."""
    operation = resolve_all({name: "/v9/{orderId}/deliveries"})["deliveryDetails"]
    assert "/v9/1/deliveries" == operation.filled_path({"orderId": "1"})
    assert Confidence.CONFIGURED == operation.confidence
    assert OPERATIONS["ordersList"] is resolve(OPERATIONS["ordersList"], {name: "/v9/{orderId}"})


def test_a_setting_for_an_unknown_operation_is_told() -> None:
    """With the operations there are."""
    with pytest.raises(SettingsError, match=r"SIPS_PATHS__orderlist: .* no such operation.*, ordersList,"):
        resolve_all({"orderlist": "/x"})


@pytest.mark.parametrize("path", ["/v9/deliveries", "/v9/{orderId}/{branchCode}", "/v9/{orderid}"])
def test_a_setting_with_other_parameters_is_told(path: str) -> None:
    """The code would not know what to fill in."""
    with pytest.raises(SettingsError, match=r"SIPS_PATHS__deliveryDetails: the path must hold \{orderId\}"):
        resolve_all({"deliveryDetails": path})
