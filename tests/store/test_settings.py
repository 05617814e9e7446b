"""The settings that name the database."""

from __future__ import annotations

import pytest

from worker.settings import SettingsError, describe, load

#: Settings of an installation whose orders are real.
OUTSIDE = {
    "sips_environment": "production",
    "sips_client_id": "id",
    "sips_client_secret": "secret",
    "sips_source_system": "shop",
    "sips_time_zone": "UTC",
}


pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:///sips.db", "sqlite:///sips.db"),
        ("sqlite:////var/lib/sips/a b.db", "sqlite:////var/lib/sips/a b.db"),
        ("postgresql://user:secret@host:5432/database", "postgresql://user:***@host:5432/database"),
        ("postgres://user:secret@host/database", "postgres://user:***@host/database"),
        ("postgresql://host/database", "postgresql://host/database"),
        ("postgresql://user:se%2Fcret@[::1]:5432/database", "postgresql://user:***@[::1]:5432/database"),
        ("postgresql://user:secret@one,two:5433/database?sslmode=require", "postgresql://user:***@one,two:5433/database"),
        ("postgresql://user@host/database?password=secret", "postgresql://user:***@host/database"),
    ],
)
def test_an_address_is_taken_and_shown_without_its_password(url: str, shown: str) -> None:
    """Whatever way PostgreSQL's client takes it."""
    assert url == load(database_url=url).database_url.get_secret_value()
    assert [shown] == [row[1] for row in describe(database_url=url) if row[0] == "DATABASE_URL"]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sips.db",
        "sqlite://sips.db",
        "sqlite:///",
        "sqlite://",
        "sqlite:///:memory:?cache=shared",
        "mysql://user:secret@host/database",
        "postgresql://user:secret@host",
        "postgresql:///database",
        "postgresql://user:secret@[::1/database",
        "postgresql://user:sec/ret@host/database",
        "postgresql://user:sec#ret@host/database",
        "postgresql://user:sec?ret@host/database",
        "postgresql://user:sec\u2100ret@host/database",
    ],
)
def test_an_address_that_is_none_is_one_clear_line(url: str) -> None:
    """It names the variable and how it should look, and never shows the password."""
    with pytest.raises(SettingsError) as caught:
        load(database_url=url)
    line = str(caught.value)
    assert line.startswith("DATABASE_URL: ")
    assert "\n" not in line
    assert "sec" not in line


@pytest.mark.parametrize("url", ["amqp://user:sec/ret@host/%2F", "amqp://user:secret@[::1/%2F"])
def test_a_broken_address_of_rabbitmq_does_not_show_its_password_either(url: str) -> None:
    """Where a password is not encoded, its parts look like a host and a path."""
    with pytest.raises(SettingsError, match=r"^AMQP_URL: ") as caught:
        load(amqp_url=url)
    assert "sec" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        (OUTSIDE, False),
        (OUTSIDE | {"sqlite_single_host": "1"}, True),
        (OUTSIDE | {"database_url": "postgresql://host/database"}, True),
        (OUTSIDE | {"database_url": "postgres://host/database"}, True),
    ],
)
def test_orders_of_consequence_need_a_database_for_all_workers(settings: dict[str, str], expected: bool) -> None:
    """SQLite serves one host, so that outside the sandbox a person must say that there is only one."""
    assert expected is load(**settings).keeps_orders_safe
