"""Settings: defaults, checks and their error lines, sources, and that no secret shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import SecretStr, ValidationError

from worker.settings import BASE_URLS, Settings, SettingsError, describe, load, load_without_sips

if TYPE_CHECKING:
    from collections.abc import Callable

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")

NOT_AMQP = (
    "AMQP_URL: must look like amqp://user:password@host:5672/vhost, with /, ?, # and @ in user and password percent-encoded"
)
NOT_FOR_PIKA = "AMQP_URL: has a port, a virtual host or an option that pika cannot read"
NOT_HTTP = "SIPS_BASE_URL: must look like https://host, without a query or credentials"
NOT_DELAYS = "UNKNOWN_TYPE_SECONDS: must be a JSON list of whole seconds from 1 to 131072, such as [4, 32, 256]"
NOT_LOOKS = "LOOK_SECONDS: must be a JSON list of one or more seconds above 0, up to 86400, such as [5, 30, 120]"
NOT_DATABASE = (
    "DATABASE_URL: must look like sqlite:///file.db or postgresql://user:password@host:5432/database, "
    "with /, ?, # and @ in user and password percent-encoded"
)
NOT_A_PATH = "SIPS_PROBE_PATH: must start with / and hold no blank and nothing beyond ASCII (percent-encode it)"
NO_ZONE = "SIPS_TIME_ZONE: is not a time zone known to this system; try America/Chicago or UTC"

#: Everything that is needed outside the sandbox.
QA = {
    "SIPS_ENVIRONMENT": "qa",
    "SIPS_CLIENT_ID": "us",
    "SIPS_CLIENT_SECRET": "Tr0ub4dor",
    "SIPS_SOURCE_SYSTEM": "US",
    "SIPS_TIME_ZONE": "America/Chicago",
}


pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.fixture
def set_all(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Set variables of the environment."""

    def set_them(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_them


def lines_of(**options: Any) -> list[str]:
    """What is wrong with the settings."""
    with pytest.raises(SettingsError) as caught:
        load(**options)
    return str(caught.value).splitlines()


def written(value: Any) -> str:
    """A setting's value as README writes it."""
    match value:
        case SecretStr():
            return value.get_secret_value()
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
        case tuple():
            inner = [f'"{item}"' if isinstance(item, str) else written(item) for item in value]
            return f"[{', '.join(inner)}]"
        case None | dict():
            return ""
    return str(value)


def test_a_bare_machine_has_everything_for_the_sandbox() -> None:
    """No variable has to be set to try it out."""
    settings = load()

    assert "amqp://guest:guest@127.0.0.1:5672/%2F" == settings.amqp_url.get_secret_value()
    assert ("sandbox", "http://127.0.0.1:8085") == (settings.sips_environment, settings.base_url)
    assert ("sandbox-client", "sandbox-secret", "SANDBOX") == (
        settings.client_id,
        settings.client_secret(),
        settings.source_system,
    )
    assert (ZoneInfo("UTC"), False) == (settings.time_zone, settings.has_secret)


def test_readme_lists_exactly_the_settings_with_their_true_defaults() -> None:
    """The table is what a person sets a worker up by."""
    table = README.partition("| setting |")[2].partition("Logs are")[0]
    listed: dict[str, str] = {}
    for names, default, _meaning in re.findall(r"^\| (`.+?`) \| (.*?) ?\| (.+) \|$", table, re.MULTILINE):
        variables = re.findall(r"`([A-Z0-9_]+?)(?:__<\w+>)?`", names)
        text = default.replace("`", "")
        values = text.split(", ") if len(variables) == len(text.split(", ")) else [text] * len(variables)
        listed |= dict(zip(variables, values, strict=True))

    true = {name.upper(): written(getattr(load(), name)) for name in Settings.model_fields}
    assert true | {"SIPS_BASE_URL": "by environment"} == listed


@pytest.mark.parametrize(
    ("variable", "value", "line"),
    [
        ("AMQP_URL", "", NOT_AMQP),
        ("AMQP_URL", "localhost", NOT_AMQP),
        ("AMQP_URL", "http://localhost", NOT_AMQP),
        ("AMQP_URL", "amqp:///vhost", NOT_AMQP),
        ("AMQP_URL", "amqp://user@host", NOT_AMQP),
        ("AMQP_URL", "amqp://host:port", f"{NOT_FOR_PIKA} (ValueError)"),
        ("AMQP_URL", "amqp://host:99999", f"{NOT_FOR_PIKA} (ValueError)"),
        ("AMQP_URL", "amqp://[::1", NOT_AMQP),
        ("AMQP_URL", "amqp://host/#vhost", NOT_AMQP),
        ("AMQP_URL", "amqp://host/?heartbeat=often", f"{NOT_FOR_PIKA} (ValueError)"),
        (
            "AMQP_URL",
            "amqps://host/?ssl_options={'cafile': '/nowhere.pem'}",
            f"{NOT_FOR_PIKA} (FileNotFoundError)",
        ),
        ("SIPS_ENVIRONMENT", "moon", "SIPS_ENVIRONMENT: Input should be 'sandbox', 'qa' or 'production'"),
        ("SIPS_BASE_URL", "services.example", NOT_HTTP),
        ("SIPS_BASE_URL", "ftp://services.example", NOT_HTTP),
        ("SIPS_BASE_URL", "https://", NOT_HTTP),
        ("SIPS_BASE_URL", "https://host?key=1", NOT_HTTP),
        ("SIPS_BASE_URL", "https://host#part", NOT_HTTP),
        ("SIPS_BASE_URL", "https://user:pass@host", NOT_HTTP),
        ("SIPS_BASE_URL", "https://host:port", NOT_HTTP),
        ("SIPS_BASE_URL", "https://ho st", NOT_HTTP),
        ("SIPS_TIME_ZONE", "Chicago", NO_ZONE),
        ("SIPS_TIME_ZONE", "../../etc/passwd", NO_ZONE),
        ("SIPS_TIME_ZONE", "America", NO_ZONE),
        ("SIPS_PATHS__ordersV2Submit", "orders", "SIPS_PATHS: the path of ordersv2submit must start with /"),
        ("SIPS_PATHS__a__b", "/x", "SIPS_PATHS__A: Input should be a valid string"),
        (
            "SIPS_PATHS",
            '{"ordersV2Submit": "/x"}',
            "SIPS_PATHS: set SIPS_PATHS__<operationId>=/other/path instead, one variable for each operation",
        ),
        ("PROCESSES", "0", "PROCESSES: Input should be greater than or equal to 1"),
        ("PROCESSES", "65", "PROCESSES: Input should be less than or equal to 64"),
        ("PROCESSES", "two", "PROCESSES: Input should be a valid integer, unable to parse string as an integer"),
        ("THREADS", "0", "THREADS: Input should be greater than or equal to 1"),
        ("THREADS", "513", "THREADS: Input should be less than or equal to 512"),
        ("AMQP_HEARTBEAT", "1", "AMQP_HEARTBEAT: Input should be greater than or equal to 2"),
        ("AMQP_HEARTBEAT", "61", "AMQP_HEARTBEAT: Input should be less than or equal to 60"),
        ("HANDLER_SECONDS", "0", "HANDLER_SECONDS: Input should be greater than 0"),
        ("SIPS_CALL_SECONDS", "-1", "SIPS_CALL_SECONDS: Input should be greater than 0"),
        ("PUBLISH_SECONDS", "nan", "PUBLISH_SECONDS: Input should be less than or equal to 86400"),
        ("GRACE_SECONDS", "86401", "GRACE_SECONDS: Input should be less than or equal to 86400"),
        ("GRACE_SECONDS", "inf", "GRACE_SECONDS: Input should be less than or equal to 86400"),
        ("RETRY_ATTEMPTS", "0", "RETRY_ATTEMPTS: Input should be greater than or equal to 1"),
        ("RETRY_ATTEMPTS", "101", "RETRY_ATTEMPTS: Input should be less than or equal to 100"),
        ("RETRY_BASE_SECONDS", "0", "RETRY_BASE_SECONDS: Input should be greater than 0"),
        ("RETRY_MAX_SECONDS", "131073", "RETRY_MAX_SECONDS: Input should be less than or equal to 131072"),
        ("UNKNOWN_TYPE_SECONDS", "4, 32", NOT_DELAYS),
        ("UNKNOWN_TYPE_SECONDS", "4", NOT_DELAYS),
        ("UNKNOWN_TYPE_SECONDS", "[0]", NOT_DELAYS),
        ("UNKNOWN_TYPE_SECONDS", "[131073]", NOT_DELAYS),
        ("UNKNOWN_TYPE_SECONDS", "[1.5]", NOT_DELAYS),
        ("UNKNOWN_TYPE_SECONDS", "[true]", NOT_DELAYS),
        ("DATABASE_URL", "", NOT_DATABASE),
        ("DATABASE_URL", "sips-worker.db", NOT_DATABASE),
        ("DATABASE_URL", "postgresql://host", NOT_DATABASE),
        ("SQLITE_SINGLE_HOST", "perhaps", "SQLITE_SINGLE_HOST: Input should be a valid boolean, unable to interpret input"),
        ("SIPS_PROBE_PATH", "status", NOT_A_PATH),
        ("SIPS_PROBE_PATH", "/a b", NOT_A_PATH),
        ("SIPS_PROBE_MAX_SECONDS", "0", "SIPS_PROBE_MAX_SECONDS: Input should be greater than 0"),
        ("SIPS_MAX_CONCURRENCY", "0", "SIPS_MAX_CONCURRENCY: Input should be greater than or equal to 1"),
        ("SIPS_MAX_CONCURRENCY", "513", "SIPS_MAX_CONCURRENCY: Input should be less than or equal to 512"),
        ("SIPS_MAX_RPS", "0", "SIPS_MAX_RPS: Input should be greater than 0"),
        ("SIPS_MAX_RPS", "10001", "SIPS_MAX_RPS: Input should be less than or equal to 10000"),
        ("LEASE_SECONDS", "0", "LEASE_SECONDS: Input should be greater than 0"),
        ("LOOK_SECONDS", "5, 30", NOT_LOOKS),
        ("LOOK_SECONDS", "5", NOT_LOOKS),
        ("LOOK_SECONDS", '{"5": 30}', NOT_LOOKS),
        ("LOOK_SECONDS", "[]", NOT_LOOKS),
        ("LOOK_SECONDS", "[0]", NOT_LOOKS),
        ("LOOK_SECONDS", "[NaN]", NOT_LOOKS),
        ("LOOK_SECONDS", "[86401]", NOT_LOOKS),
        ("LOOK_SECONDS", '["5"]', NOT_LOOKS),
        ("ABSENCE_LOOKS", "0", "ABSENCE_LOOKS: Input should be greater than or equal to 1"),
        ("ABSENCE_SECONDS", "0", "ABSENCE_SECONDS: Input should be greater than 0"),
        ("ABSENCE_AFTER_TROUBLE_SECONDS", "0", "ABSENCE_AFTER_TROUBLE_SECONDS: Input should be greater than 0"),
        ("OVERDUE_SECONDS", "0", "OVERDUE_SECONDS: Input should be greater than 0"),
        ("QUEUED_SECONDS", "0", "QUEUED_SECONDS: Input should be greater than 0"),
        ("PO_SUFFIX", "perhaps", "PO_SUFFIX: Input should be a valid boolean, unable to interpret input"),
        ("HEALTH_PORT", "65536", "HEALTH_PORT: Input should be less than or equal to 65535"),
        ("HEALTH_HOST", "", "HEALTH_HOST: String should have at least 1 character"),
        ("HEALTH_SECONDS", "0", "HEALTH_SECONDS: Input should be greater than 0"),
        ("MAX_MESSAGE_BYTES", "1023", "MAX_MESSAGE_BYTES: Input should be greater than or equal to 1024"),
        ("MAX_MESSAGE_BYTES", "134217729", "MAX_MESSAGE_BYTES: Input should be less than or equal to 134217728"),
        ("MAX_EVENT_BYTES", "65535", "MAX_EVENT_BYTES: Input should be greater than or equal to 65536"),
        ("MAX_EVENT_BYTES", "134217729", "MAX_EVENT_BYTES: Input should be less than or equal to 134217728"),
        ("WEBHOOK_PORT", "0", "WEBHOOK_PORT: Input should be greater than or equal to 1"),
        ("WEBHOOK_HOST", "", "WEBHOOK_HOST: String should have at least 1 character"),
        ("WEBHOOK_HEADER", "X Key", "WEBHOOK_HEADER: is not the name of an HTTP header"),
        (
            "WEBHOOK_HEADER",
            "X-Key",
            "set both of WEBHOOK_HEADER and WEBHOOK_HEADER_SECRET (or WEBHOOK_HEADER_SECRET_FILE), or neither",
        ),
        ("WEBHOOK_HMAC_ALGORITHM", "md5", "WEBHOOK_HMAC_ALGORITHM: Input should be 'sha1', 'sha256' or 'sha512'"),
        ("WEBHOOK_HMAC_ENCODING", "text", "WEBHOOK_HMAC_ENCODING: Input should be 'hex' or 'base64'"),
        ("WEBHOOK_FIELDS", "id=x", "WEBHOOK_FIELDS: set WEBHOOK_FIELDS__<name>=property instead, one variable for each"),
        (
            "WEBHOOK_FIELDS__number",
            "orderID",
            "WEBHOOK_FIELDS: there is no number; there are id, type, status, time, reference, reference2, reference3",
        ),
        ("WEBHOOK_MAX_BYTES", "8388609", "WEBHOOK_MAX_BYTES: Input should be less than or equal to 8388608"),
        ("WEBHOOK_BODY_SECONDS", "0", "WEBHOOK_BODY_SECONDS: Input should be greater than 0"),
        ("WEBHOOK_PUBLISH_SECONDS", "0", "WEBHOOK_PUBLISH_SECONDS: Input should be greater than 0"),
        ("WEBHOOK_PUBLISH_SECONDS", "11", "WEBHOOK_PUBLISH_SECONDS: Input should be less than or equal to 10"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT: Input should be 'auto', 'json' or 'console'"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_variable(
    set_all: Callable[[dict[str, str]], None], variable: str, value: str, line: str
) -> None:
    """And says what would be right."""
    set_all({variable: value})

    assert [line] == lines_of()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AMQP_URL", "amqp://rabbit"),
        ("AMQP_URL", "amqps://us:p%40ss%2Fword@rabbit.example:5671/shop?heartbeat=3"),
        ("AMQP_URL", "amqp://us:@[::1]:5672/%2F"),
        ("SIPS_BASE_URL", "http://[::1]:8085/base/"),
        ("SIPS_TIME_ZONE", "America/Chicago"),
        ("SIPS_PATHS__ordersV2Submit", "/orders/v3/Submit"),
        ("UNKNOWN_TYPE_SECONDS", "[]"),
        ("UNKNOWN_TYPE_SECONDS", "[1, 131072]"),
        ("RETRY_MAX_SECONDS", "0.001"),
        ("DATABASE_URL", "postgresql://us:p%40ss%2Fword@[::1]:5432/sips"),
        ("LOOK_SECONDS", "[0.5, 86400]"),
        ("SIPS_PROBE_PATH", "/branches/v2/branchLocations?page=1"),
        ("SIPS_MAX_CONCURRENCY", ""),
        ("SIPS_MAX_RPS", ""),
        ("HEALTH_PORT", ""),
    ],
)
def test_what_is_right_is_taken(set_all: Callable[[dict[str, str]], None], variable: str, value: str) -> None:
    """The rare ones as well: IPv6, percent-encoding, no delays at all."""
    set_all({variable: value})

    assert load()


def test_an_empty_name_of_a_secret_file_is_none(set_all: Callable[[dict[str, str]], None]) -> None:
    """Compose files make empty variables of what is not set."""
    set_all({"SIPS_CLIENT_SECRET_FILE": "", "SIPS_CLIENT_SECRET": "Tr0ub4dor"})

    assert "Tr0ub4dor" == load().client_secret()


def test_each_problem_has_its_line(set_all: Callable[[dict[str, str]], None]) -> None:
    """Whoever mends the first sees the others as well."""
    set_all({"THREADS": "many", "AMQP_URL": "rabbit", "LOG_FORMAT": "xml"})
    assert ["AMQP_URL", "THREADS", "LOG_FORMAT"] == [line.partition(":")[0] for line in lines_of()]


def test_contradictions_have_their_lines_too(set_all: Callable[[dict[str, str]], None]) -> None:
    """All of them at once."""
    set_all(
        {
            "SIPS_ENVIRONMENT": "production",
            "SIPS_BASE_URL": "http://services.example",
            "SIPS_CLIENT_SECRET": "x",
            "SIPS_CLIENT_SECRET_FILE": "y",
            "HANDLER_SECONDS": "30",
            "LEASE_SECONDS": "25",
        }
    )

    assert [
        "set SIPS_CLIENT_SECRET or SIPS_CLIENT_SECRET_FILE, not both",
        "needs SIPS_CALL_SECONDS < HANDLER_SECONDS < GRACE_SECONDS, but they are 15, 30 and 25",
        "needs GRACE_SECONDS < LEASE_SECONDS, but they are 25 and 25",
        "SIPS_ENVIRONMENT=production also needs SIPS_CLIENT_ID, SIPS_SOURCE_SYSTEM, SIPS_TIME_ZONE",
        "SIPS_BASE_URL must be https outside the sandbox",
    ] == lines_of()


@pytest.mark.parametrize(
    ("call", "handler", "grace", "is_right"),
    [(1, 2, 3, True), (2, 2, 3, False), (1, 3, 3, False), (3, 2, 4, False), (1, 4, 3, False)],
)
def test_an_attempt_ends_before_the_grace_and_its_calls_before_the_attempt(
    call: float, handler: float, grace: float, is_right: bool
) -> None:
    """Strictly: what runs at SIGTERM must have time to end."""
    times = {"sips_call_seconds": call, "handler_seconds": handler, "grace_seconds": grace}
    if is_right:
        assert load(**times)
    else:
        assert [f"needs SIPS_CALL_SECONDS < HANDLER_SECONDS < GRACE_SECONDS, but they are {call}, {handler} and {grace}"] == (
            lines_of(**times)
        )


@pytest.mark.parametrize("missing", ["SIPS_CLIENT_ID", "SIPS_CLIENT_SECRET", "SIPS_SOURCE_SYSTEM", "SIPS_TIME_ZONE"])
def test_what_is_needed_outside_the_sandbox_is_asked_for(set_all: Callable[[dict[str, str]], None], missing: str) -> None:
    """Nothing is guessed where real orders are placed."""
    set_all({name: value for name, value in QA.items() if name != missing})

    (line,) = lines_of()

    named = "SIPS_CLIENT_SECRET or SIPS_CLIENT_SECRET_FILE" if missing == "SIPS_CLIENT_SECRET" else missing
    assert f"SIPS_ENVIRONMENT=qa also needs {named}" == line


def test_who_never_calls_sips_needs_nothing_for_it(set_all: Callable[[dict[str, str]], None]) -> None:
    """What is wrong is told all the same."""
    set_all({"SIPS_ENVIRONMENT": "production", "SIPS_BASE_URL": "http://services.example"})
    assert "production" == load_without_sips().sips_environment

    set_all({"LEASE_SECONDS": "25"})
    with pytest.raises(SettingsError, match=r"^needs GRACE_SECONDS < LEASE_SECONDS, but they are 25 and 25$"):
        load_without_sips()


@pytest.mark.parametrize("environment", ["sandbox", "qa", "production"])
def test_each_environment_has_its_address(set_all: Callable[[dict[str, str]], None], environment: str) -> None:
    """Unless another one is given."""
    set_all(QA | {"SIPS_ENVIRONMENT": environment})
    assert BASE_URLS[environment] == load().base_url

    set_all({"SIPS_BASE_URL": "https://mirror.example/"})
    assert "https://mirror.example" == load().base_url


def test_given_values_take_the_place_of_the_stand_ins(set_all: Callable[[dict[str, str]], None]) -> None:
    """In every environment."""
    set_all(QA)
    settings = load()

    assert ("us", "Tr0ub4dor", "US") == (settings.client_id, settings.client_secret(), settings.source_system)
    assert (ZoneInfo("America/Chicago"), True) == (settings.time_zone, settings.has_secret)


def test_a_path_is_set_for_one_operation(set_all: Callable[[dict[str, str]], None]) -> None:
    """By its operation id; several stand side by side, wherever they come from."""
    Path(".env").write_text("SIPS_PATHS__priceV2=/from/file\nSIPS_PATHS__ordersList=/from/file\n")
    set_all({"SIPS_PATHS__ordersV2Submit": "/orders/v3/Submit", "SIPS_PATHS__ordersList": "/orders/v2/List"})

    assert {
        "ordersv2submit": "/orders/v3/Submit",
        "orderslist": "/orders/v2/List",
        "pricev2": "/from/file",
    } == load().sips_paths


def test_a_field_of_webhooks_is_found_elsewhere(set_all: Callable[[dict[str, str]], None]) -> None:
    """One variable for each; the property's letter case stays."""
    set_all({"WEBHOOK_FIELDS__ID": "orderID", "WEBHOOK_FIELDS__reference2": "po"})

    assert {"id": "orderID", "reference2": "po"} == load().webhook_fields


def test_the_file_is_read_and_the_environment_wins(set_all: Callable[[dict[str, str]], None]) -> None:
    """And a command line option wins over both."""
    Path(".env").write_text("# ours\nTHREADS=5\nexport PROCESSES='2'\nRETRY_ATTEMPTS=4 # a remark\nOTHER_PROGRAM=x\n")
    set_all({"THREADS": "6", "PROCESSES": "3"})

    settings = load(processes=4)

    assert (4, 6, 4) == (settings.processes, settings.threads, settings.retry_attempts)


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"THREADS=5\n\n\nLOG FORMAT=json\n", [".env line 4 cannot be read; write NAME=value"]),
        (b"=1\nTHREADS 5\n", [f".env line {line} cannot be read; write NAME=value" for line in (1, 2)]),
        (b'SIPS_CLIENT_SECRET="Tr0ub4dor\nTHREADS=5\n', [".env line 1 cannot be read; write NAME=value"]),
        (b"\xff\xfe", [".env cannot be read (UnicodeDecodeError); it must be a text file in UTF-8"]),
        (b"THREADS=many", ["THREADS: Input should be a valid integer, unable to parse string as an integer"]),
    ],
)
def test_a_broken_file_is_refused(content: bytes, lines: list[str]) -> None:
    """Not read by half: a default in the place of what was meant could be the wrong broker."""
    Path(".env").write_bytes(content)

    assert lines == lines_of()


def test_a_secret_file_is_read_anew_each_time(set_all: Callable[[dict[str, str]], None]) -> None:
    """Without the newline that editors add; a rotated secret needs no restart."""
    file = Path("secret")
    set_all({"SIPS_CLIENT_SECRET_FILE": str(file)})
    settings = load()

    file.write_text("first\n")
    assert ("first", True) == (settings.client_secret(), settings.has_secret)
    file.write_text("second")
    assert "second" == settings.client_secret()
    file.write_bytes(b"\xef\xbb\xbfthird\r\n")  # as editors of Windows save it
    assert "third" == settings.client_secret()


def test_a_secret_file_that_holds_none_is_one_line(set_all: Callable[[dict[str, str]], None]) -> None:
    """Missing, a folder, empty, too much, not a text."""
    file = Path("secret")
    set_all({"SIPS_CLIENT_SECRET_FILE": str(file)})
    settings = load()

    def line() -> str:
        with pytest.raises(SettingsError) as caught:
            settings.client_secret()
        return str(caught.value)

    advice = "check the path and its permissions"
    assert f"SIPS_CLIENT_SECRET_FILE=secret cannot be read (FileNotFoundError); {advice}" == line()
    file.mkdir()
    assert f"SIPS_CLIENT_SECRET_FILE=secret cannot be read (IsADirectoryError); {advice}" == line()
    file.rmdir()
    file.write_text(" \n")
    assert "SIPS_CLIENT_SECRET_FILE=secret is empty" == line()
    file.write_text("Tr0ub\n4dor\n")
    assert "SIPS_CLIENT_SECRET_FILE=secret holds more than one line; it must hold the client secret alone" == line()
    file.write_bytes(b"\xff\xfe")
    assert f"SIPS_CLIENT_SECRET_FILE=secret cannot be read (UnicodeDecodeError); {advice}" == line()


@pytest.mark.parametrize("password", ["5tap/le", "5tap?le", "5tap#le", "12/5taple", "12?5taple", "12#5taple"])
def test_a_badly_written_password_is_refused_and_does_not_show(set_all: Callable[[dict[str, str]], None], password: str) -> None:
    """A character of its own cuts it, and what stands before that could pass for a port."""
    set_all({"AMQP_URL": f"amqp://us:{password}@rabbit/%2F"})

    assert [NOT_AMQP] == lines_of()


def test_no_secret_shows_in_what_is_printed(set_all: Callable[[dict[str, str]], None]) -> None:
    """Neither as a value, nor in a repr, nor beside an error, nor with its length."""
    database_url = "postgresql://us:c0rrect-horse@db:5432/shop?password=c0rrect-horse"
    set_all(QA | {"AMQP_URL": "amqp://us:c0rrect-horse@rabbit:5672/shop?heartbeat=7", "DATABASE_URL": database_url})
    settings = load()
    shown = {name: value for name, value, _source, _meaning in describe()}

    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json(), str(shown)):
        assert not re.search("c0rrect|Tr0ub4dor", text)
    assert ("amqp://us:***@rabbit:5672/shop", "***") == (shown["AMQP_URL"], shown["SIPS_CLIENT_SECRET"])
    assert "postgresql://us:***@db:5432/shop" == shown["DATABASE_URL"]

    set_all({"SIPS_CLIENT_SECRET_FILE": "x", "SIPS_BASE_URL": "http://x", "GRACE_SECONDS": "1"})
    assert not re.search("c0rrect|Tr0ub4dor", "\n".join(lines_of()))
    set_all({"THREADS": "x"})
    assert not re.search("c0rrect|Tr0ub4dor", "\n".join(lines_of()))


def test_the_errors_of_pydantic_do_not_hold_what_was_given() -> None:
    """They may stand in a traceback."""
    with pytest.raises(ValidationError) as caught:
        Settings(sips_base_url="https://us:Tr0ub4dor@services.example")

    assert "Tr0ub4dor" not in str(caught.value)


def test_every_setting_is_described_with_its_source(set_all: Callable[[dict[str, str]], None]) -> None:
    """In the order of the settings; the strongest source that gives it is named."""
    Path(".env").write_text("THREADS=5\nRETRY_ATTEMPTS=4\nMAX_MESSAGE_BYTES\nSIPS_CLIENT_ID=me\n")
    set_all({"THREADS": "6", "PROCESSES": "3", "SIPS_PATHS__ordersList": "/l"})
    set_all({"UNKNOWN_TYPE_SECONDS": "[1,2]", "log_format": "json"})

    rows = describe(processes=4)

    assert [name.upper() for name in Settings.model_fields] == [row[0] for row in rows]
    assert all(meaning for *_row, meaning in rows)
    given = {name: (value, source) for name, value, source, _meaning in rows if source != "default"}
    assert {
        "PROCESSES": ("4", "option"),
        "THREADS": ("6", "environment"),
        "SIPS_CLIENT_ID": ("me", ".env"),
        "SIPS_PATHS": ("orderslist=/l", "environment"),
        "RETRY_ATTEMPTS": ("4", ".env"),
        "UNKNOWN_TYPE_SECONDS": ("[1, 2]", "environment"),
        "LOG_FORMAT": ("json", "environment"),
    } == given


def test_defaults_are_described_as_they_would_be_written() -> None:
    """Numbers without a superfluous point, the address that is in force, nothing for nothing."""
    shown = {name: value for name, value, _source, _meaning in describe()}

    assert ("amqp://guest:***@127.0.0.1:5672/%2F", "http://127.0.0.1:8085") == (shown["AMQP_URL"], shown["SIPS_BASE_URL"])
    assert ("20", "[4, 32, 256]") == (shown["HANDLER_SECONDS"], shown["UNKNOWN_TYPE_SECONDS"])
    assert ("sqlite:///sips-worker.db", "false") == (shown["DATABASE_URL"], shown["PO_SUFFIX"])
    assert {""} == {shown[name] for name in ("SIPS_CLIENT_ID", "SIPS_CLIENT_SECRET", "SIPS_CLIENT_SECRET_FILE", "SIPS_PATHS")}
