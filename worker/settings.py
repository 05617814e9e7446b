"""Every setting of the worker: its name, meaning, default and check; read from the environment and `.env`.

A setting's name in the environment is its field name in capitals: `amqp_url` is `AMQP_URL`. Durations are seconds.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import zoneinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

import pika
from dotenv import dotenv_values
from dotenv.parser import parse_stream
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "BASE_URLS",
    "ENV_FILE",
    "WEBHOOK_FIELDS",
    "Credentials",
    "Pairs",
    "Settings",
    "SettingsError",
    "check_amqp_url",
    "describe",
    "load",
    "load_without_sips",
]

Environment = Literal["sandbox", "qa", "production"]

#: Where settings are read from beside the environment; a variable of the environment wins.
ENV_FILE = ".env"

#: The address of SIPS per environment (portal pages token-32636877e0 and -2133410m0; the sandbox's is our own choice).
BASE_URLS: dict[str, str] = {
    "sandbox": "http://127.0.0.1:8085",
    "qa": "https://services-qa.roofhub.pro",
    "production": "https://services.roofhub.pro",
}

#: What is read of an event that SIPS sends, and the property it is in (seen in a published integration; the letter case is
#: not looked at).
WEBHOOK_FIELDS: dict[str, str] = {
    "id": "eventId",
    "type": "eventType",
    "status": "eventStatus",
    "time": "eventDateTime",
    "reference": "subscriberReferenceNum",
    "reference2": "subscriberReferenceNum2",
    "reference3": "subscriberReferenceNum3",
}

#: The longest delay there is: the top of the delay ladder, a day and a half.
MAX_DELAY_SECONDS = 131_072

#: The longest delay between two looks for an order in doubt: a day.
LONGEST_LOOK_SECONDS = 86_400

#: The longest time that a process can keep others from fetching the token.
MAX_TOKEN_LEASE_SECONDS = 300

#: Secrets that a caller of the webhook may be verified with: the current one and the next.
MAX_WEBHOOK_SECRETS = 2

#: The longest that an address can be signed for (AWS Signature Version 4).
LONGEST_SIGNED_DAYS = 7

Seconds = Annotated[float, Field(gt=0, le=86_400)]


class SettingsError(Exception):
    """A setting is missing or wrong; the text is one line per problem and names the variable to change."""


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """What a token is asked for with. `pair` is `current` or `next`: around a rotation SIPS takes both."""

    pair: str
    client_id: str
    client_secret: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs whose secrets can be read, the current one first, and a line for each whose secret cannot."""

    readable: tuple[Credentials, ...]
    unreadable: tuple[str, ...] = ()


class Settings(BaseSettings):
    """The validated settings of one process.

    Raises pydantic's `ValidationError`; use `load` for one readable line per problem.
    """

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_nested_delimiter="__",
        enable_decoding=False,  # a value that is no JSON shall be one clear line as well
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    #: Whether the process calls SIPS, for which it needs more outside the sandbox.
    calls_sips: ClassVar[bool] = True

    amqp_url: SecretStr = Field(
        default=SecretStr("amqp://guest:guest@127.0.0.1:5672/%2F"),
        description="RabbitMQ, as amqp:// or amqps://user:password@host:port/vhost",
    )
    database_url: SecretStr = Field(
        default=SecretStr("sqlite:///sips-worker.db"),
        description="where orders and timers are kept: sqlite:///file.db, or postgresql://user:password@host:port/database",
    )
    sqlite_single_host: bool = Field(
        default=False,
        description="outside the sandbox, take orders although they are kept in SQLite: every worker runs on this host",
    )
    sips_environment: Environment = Field(
        default="sandbox", description="sandbox, qa or production; stands on every log line and event"
    )
    sips_base_url: str = Field(default="", description="address of SIPS; empty = the one that belongs to SIPS_ENVIRONMENT")
    sips_client_id: str = Field(default="", description="client id issued by SRS; the sandbox takes any")
    sips_client_secret: SecretStr = Field(default=SecretStr(""), description="client secret issued by SRS")
    sips_client_secret_file: Path | None = Field(
        default=None, description="file that holds the client secret, instead of SIPS_CLIENT_SECRET"
    )
    sips_next_client_id: str = Field(
        default="", description="client id of the pair that comes next; empty = SIPS_CLIENT_ID, with another secret"
    )
    sips_next_client_secret: SecretStr = Field(
        default=SecretStr(""), description="its secret, used where SIPS refuses the current pair"
    )
    sips_next_client_secret_file: Path | None = Field(
        default=None, description="file that holds that secret, instead of SIPS_NEXT_CLIENT_SECRET"
    )
    sips_token_lease_seconds: Annotated[float, Field(ge=1, le=MAX_TOKEN_LEASE_SECONDS)] = Field(
        default=20.0, description="whoever fetches the token for the fleet is taken for dead after this long"
    )
    sips_token_min_age_seconds: Annotated[float, Field(ge=0, le=3_600)] = Field(
        default=60.0, description="a token younger than this is kept although SIPS refused it: the command is refused"
    )
    sips_source_system: str = Field(default="", description="the name SRS assigned to the partner (sourceSystem)")
    sips_time_zone: str = Field(
        default="", description="zone of SIPS' zoneless dates, such as America/Chicago; required outside the sandbox"
    )
    sips_probe_path: str = Field(
        default="/branches/v2/branchLocations",
        description="what is read (GET, query included) while SIPS is down, to learn whether it is back",
    )
    sips_probe_max_seconds: Seconds = Field(
        default=15.0, description="longest mean pause between two of these; four times as long where SIPS refuses the credentials"
    )
    sips_max_concurrency: int | None = Field(
        default=None, ge=1, le=512, description="SIPS calls of one process at the same time; unset = one per thread"
    )
    sips_max_rps: Annotated[float, Field(gt=0, le=10_000)] | None = Field(
        default=None, description="SIPS calls of one process per second, evenly spaced; unset = no limit"
    )
    sips_paths: dict[str, str] = Field(
        default_factory=dict, description="SIPS_PATHS__<operationId>=/other/path overrides the path of one operation"
    )

    processes: int = Field(default=1, ge=1, le=64, description="worker processes of `run`")
    threads: int = Field(default=128, ge=1, le=512, description="commands that one process handles at the same time")
    amqp_heartbeat: int = Field(
        default=5, ge=2, le=60, description="AMQP heartbeat; a connection silent for twice as long is given up"
    )

    handler_seconds: Seconds = Field(
        default=20.0, description="one attempt, from its start to its confirmed outcome; must be below GRACE_SECONDS"
    )
    sips_call_seconds: Seconds = Field(
        default=15.0, description="all SIPS calls of one attempt together, the token's included; must be below HANDLER_SECONDS"
    )
    publish_seconds: Seconds = Field(default=5.0, description="how long one publish may wait for its confirm")
    grace_seconds: Seconds = Field(default=25.0, description="how long SIGTERM waits for running commands")

    retry_attempts: int = Field(
        default=8, ge=1, le=100, description="attempts before `.failed`; of an order, those that SIPS refused with 401 or 403"
    )
    retry_base_seconds: Seconds = Field(default=1.0, description="mean delay before the second attempt; doubles with each")
    retry_max_seconds: Annotated[float, Field(gt=0, le=MAX_DELAY_SECONDS)] = Field(
        default=900.0, description="longest mean delay between two attempts"
    )
    lease_seconds: Seconds = Field(
        default=60.0, description="an order's sender is taken for dead after this long; must be above GRACE_SECONDS"
    )
    look_seconds: tuple[float, ...] = Field(
        default=(5, 30, 120, 600, 900),
        min_length=1,
        description="delays between the looks for an order in doubt; the last repeats (JSON list)",
    )
    absence_looks: int = Field(default=4, ge=1, description="looks that must find nothing before an order ends `.unknown`")
    absence_seconds: Seconds = Field(default=1_800.0, description="and how long after its send the last of them must be")
    absence_after_trouble_seconds: Seconds = Field(
        default=600.0, description="and how long SIPS must have been there and answered every look by then"
    )
    overdue_seconds: Seconds = Field(default=3_600.0, description="an order in SIPS' queue for longer is told as overdue, once")
    queued_seconds: Annotated[float, Field(gt=0)] = Field(
        default=604_800.0, description="an order in SIPS' queue for longer is left to a person"
    )
    po_suffix: bool = Field(
        default=False, description="make a PO number that is taken unique, as in 5641-8/K7Q2, instead of refusing the order"
    )
    order_tracking: bool = Field(default=True, description="watch every submitted order until its end, and publish what changes")
    watch_seconds: Seconds = Field(
        default=900.0, description="between two looks at a watched order near the expected day of its delivery"
    )
    watch_far_seconds: Seconds = Field(default=7_200.0, description="the same on other days")
    watch_days: Annotated[float, Field(gt=0, le=400)] = Field(
        default=60.0, description="days after which a watch ends that was given no deadline"
    )
    order_terminal: tuple[str, ...] = Field(
        default=("Invoiced", "Closed", "Completed", "Cancelled", "Canceled", "Rejected", "Declined"),
        description="statuses of an order after which its watch ends (JSON list; SIPS' own list is not public)",
    )
    delivery_terminal: tuple[str, ...] = Field(
        default=("Completed",), description="statuses of a delivery that tell its end, and after which its watch ends (JSON list)"
    )
    reconcile_days: Annotated[float, Field(ge=0, le=400)] = Field(
        default=30.0,
        description="days that the daily comparison of open orders with SIPS' list looks back; 0 = none is made",
    )
    hint_days: Annotated[float, Field(gt=0, le=400)] = Field(
        default=30.0, description="days in which a webhook that names no known order waits for it"
    )
    payload_days: Annotated[float, Field(gt=0)] = Field(
        default=30.0, description="days after an order's end in which its request (names, addresses) is kept"
    )
    ledger_days: Annotated[float, Field(ge=30)] = Field(
        default=400.0, description="days after an order's end in which its outcome is kept, for a command that comes again"
    )
    unknown_type_seconds: tuple[int, ...] = Field(
        default=(4, 32, 256),
        description="delays before a command type that no worker knows is given up (JSON list, e.g. [4, 32, 256])",
    )
    max_message_bytes: int = Field(
        default=1_048_576, ge=1_024, le=134_217_728, description="largest command body that is parsed; beyond: dead letter"
    )
    max_event_bytes: int = Field(
        default=8_388_608,
        ge=65_536,
        le=134_217_728,
        description="largest event that is published; below RabbitMQ's max_message_size (16 MiB by default from 4.0)",
    )
    blob_folder: Path | None = Field(
        default=None, description="folder that keeps what is too large for an event; the same for every worker of a fleet"
    )
    blob_base_url: str = Field(
        default="",
        description="where receivers open what is kept: address of BLOB_FOLDER, or of the prefix in BLOB_S3_BUCKET; "
        "empty = signed addresses (S3 only)",
    )
    blob_s3_bucket: str = Field(default="", description="bucket that keeps it, instead of a folder; S3 or what speaks like it")
    blob_s3_prefix: str = Field(default="sips-worker", description="what the names in the bucket begin with")
    blob_s3_endpoint: str = Field(default="", description="address of what speaks like S3; empty = that of AWS")
    blob_s3_region: str = Field(default="us-east-1", min_length=1, description="region of the bucket")
    blob_s3_access_key_id: str = Field(
        default="", description="access key of the bucket; empty = what AWS_ variables or the machine's own role give"
    )
    blob_s3_secret_access_key: SecretStr = Field(default=SecretStr(""), description="its secret")
    blob_retention_days: Annotated[float, Field(gt=0, le=3_650)] = Field(
        default=7.0, description="days after which it is deleted, and until which its address can be opened"
    )
    health_port: int = Field(default=0, ge=0, le=65_535, description="port of /livez and /readyz; 0 or empty = none")
    health_host: str = Field(
        default="127.0.0.1", min_length=1, description="address that HEALTH_PORT is opened on; 0.0.0.0 = every one"
    )
    health_seconds: Seconds = Field(
        default=20.0, description="/livez fails when a loop makes no progress for this long, or every thread is so far overdue"
    )
    webhook_port: int = Field(default=8087, ge=1, le=65_535, description="port that `sips-worker webhook` listens on")
    webhook_host: str = Field(
        default="127.0.0.1", min_length=1, description="address that WEBHOOK_PORT is opened on; 0.0.0.0 = every one"
    )
    webhook_path_secret: SecretStr = Field(
        default=SecretStr(""),
        description="last segment of the address that SIPS calls, /webhooks/sips/<it>; two with a blank between are both taken, "
        "as with the other WEBHOOK secrets",
    )
    webhook_path_secret_file: Path | None = Field(default=None, description="file that holds it, one on a line")
    webhook_header: str = Field(default="", description="header in which SIPS sends a secret of its own")
    webhook_header_secret: SecretStr = Field(default=SecretStr(""), description="that secret: the header's whole value")
    webhook_header_secret_file: Path | None = Field(default=None, description="file that holds it, one on a line")
    webhook_hmac_header: str = Field(default="", description="header with the HMAC of the body")
    webhook_hmac_secret: SecretStr = Field(default=SecretStr(""), description="the key of that HMAC")
    webhook_hmac_secret_file: Path | None = Field(default=None, description="file that holds it, one on a line")
    webhook_hmac_algorithm: Literal["sha1", "sha256", "sha512"] = Field(default="sha256", description="hash of that HMAC")
    webhook_hmac_encoding: Literal["hex", "base64"] = Field(default="hex", description="how it is written in the header")
    webhook_fields: dict[str, str] = Field(
        default_factory=dict,
        description="WEBHOOK_FIELDS__<name>=property where SIPS calls id, type, status, time, reference, reference2 or "
        "reference3 of an event otherwise than is known",
    )
    webhook_max_bytes: int = Field(
        default=524_288,
        ge=1_024,
        le=8_388_608,
        description="largest body of a call; beyond: 413. In base64 it must fit MAX_MESSAGE_BYTES",
    )
    webhook_body_seconds: Seconds = Field(default=10.0, description="how long a call may take to send its body; beyond: 408")
    webhook_publish_seconds: Annotated[float, Field(gt=0, le=10)] = Field(
        default=0.8, description="how long RabbitMQ may take to confirm; beyond: 503, and the sender repeats"
    )
    log_format: Literal["auto", "json", "console"] = Field(default="auto", description="auto = console on a terminal, else json")

    @field_validator("amqp_url")
    @classmethod
    def _amqp_url_is_one(cls, value: SecretStr) -> SecretStr:
        check_amqp_url(value.get_secret_value())
        return value

    @field_validator("database_url")
    @classmethod
    def _database_url_is_one(cls, value: SecretStr) -> SecretStr:
        if not _is_database_url(value.get_secret_value()):
            raise ValueError(
                "must look like sqlite:///file.db or postgresql://user:password@host:5432/database, "
                "with /, ?, # and @ in user and password percent-encoded"
            )
        return value

    @field_validator("sips_base_url", "blob_base_url", "blob_s3_endpoint")
    @classmethod
    def _base_url_is_one(cls, value: str) -> str:
        if value and not _is_base_url(value):
            raise ValueError("must look like https://host, without a query or credentials")
        return value.rstrip("/")

    @field_validator("health_port", mode="before")
    @classmethod
    def _empty_is_no_port(cls, value: Any) -> Any:
        return 0 if value == "" else value

    @field_validator("blob_s3_prefix")
    @classmethod
    def _prefix_needs_no_escape(cls, value: str) -> str:
        if not re.fullmatch(r"[\w./-]*", value, re.ASCII):
            raise ValueError("must hold only letters, digits, -, _, . and /")
        return value.strip("/")

    @field_validator(
        "sips_client_secret_file",
        "sips_next_client_secret_file",
        "webhook_path_secret_file",
        "webhook_header_secret_file",
        "webhook_hmac_secret_file",
        "sips_max_concurrency",
        "sips_max_rps",
        "blob_folder",
        mode="before",
    )
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return None if value == "" else value  # as for the texts; Path("") would be the folder we are in

    @field_validator("look_seconds", mode="before")
    @classmethod
    def _looks_are_some(cls, value: Any) -> Any:
        delays = _json_list(value)
        if not delays or not all(type(delay) in {int, float} and 0 < delay <= LONGEST_LOOK_SECONDS for delay in delays):
            raise ValueError(
                f"must be a JSON list of one or more seconds above 0, up to {LONGEST_LOOK_SECONDS}, such as [5, 30, 120]"
            )
        return tuple(delays)

    @field_validator("order_terminal", "delivery_terminal", mode="before")
    @classmethod
    def _words_are_some(cls, value: Any) -> Any:
        words = _json_list(value)
        if not words or not all(isinstance(word, str) and word.strip() for word in words):
            raise ValueError('must be a JSON list of one or more statuses, such as ["Completed"]')
        return tuple(words)

    @field_validator("unknown_type_seconds", mode="before")
    @classmethod
    def _delays_are_on_the_ladder(cls, value: Any) -> Any:
        delays = _json_list(value)
        if delays is None or not all(type(delay) is int and 1 <= delay <= MAX_DELAY_SECONDS for delay in delays):
            raise ValueError(f"must be a JSON list of whole seconds from 1 to {MAX_DELAY_SECONDS}, such as [4, 32, 256]")
        return tuple(delays)

    @field_validator("sips_paths", mode="before")
    @classmethod
    def _paths_have_names(cls, value: Any) -> Any:
        if isinstance(value, str):
            what = "set SIPS_PATHS__<operationId>=/other/path instead, one variable for each operation"
            raise ValueError(what)  # noqa: TRY004 - pydantic takes a ValueError for a wrong value
        return value

    @field_validator("webhook_header", "webhook_hmac_header")
    @classmethod
    def _header_is_one(cls, value: str) -> str:
        if value and not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", value):
            raise ValueError("is not the name of an HTTP header")
        return value.lower()

    @field_validator("webhook_fields", mode="before")
    @classmethod
    def _fields_have_names(cls, value: Any) -> Any:
        if isinstance(value, str):
            what = "set WEBHOOK_FIELDS__<name>=property instead, one variable for each"
            raise ValueError(what)  # noqa: TRY004 - pydantic takes a ValueError for a wrong value
        return value

    @field_validator("webhook_fields")
    @classmethod
    def _fields_are_known(cls, value: dict[str, str]) -> dict[str, str]:
        if unknown := sorted(set(value) - set(WEBHOOK_FIELDS)):
            raise ValueError(f"there is no {', '.join(unknown)}; there are {', '.join(WEBHOOK_FIELDS)}")
        return value

    @field_validator("sips_time_zone")
    @classmethod
    def _time_zone_exists(cls, value: str) -> str:
        if value:
            try:
                zoneinfo.ZoneInfo(value)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
                raise ValueError("is not a time zone known to this system; try America/Chicago or UTC") from None
        return value

    @field_validator("sips_probe_path")
    @classmethod
    def _probe_path_is_one(cls, value: str) -> str:
        if not re.fullmatch(r"/[\x21-\x7e]*", value):
            raise ValueError("must start with / and hold no blank and nothing beyond ASCII (percent-encode it)")
        return value

    @field_validator("sips_paths")
    @classmethod
    def _paths_are_absolute(cls, value: dict[str, str]) -> dict[str, str]:
        for operation, path in value.items():
            if not path.startswith("/"):
                raise ValueError(f"the path of {operation} must start with /")
        return value

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if problems := [
            *self._contradictions(),
            *self._faults_of_the_blob_store(),
            *self._faults_of_the_webhook(),
            *self._lacks_outside_the_sandbox(),
        ]:
            raise ValueError("\n".join(problems))
        return self

    def _contradictions(self) -> Iterator[str]:
        if self.sips_client_secret.get_secret_value() and self.sips_client_secret_file:
            yield "set SIPS_CLIENT_SECRET or SIPS_CLIENT_SECRET_FILE, not both"
        if self.sips_next_client_secret.get_secret_value() and self.sips_next_client_secret_file:
            yield "set SIPS_NEXT_CLIENT_SECRET or SIPS_NEXT_CLIENT_SECRET_FILE, not both"
        if self.sips_next_client_id and not self.has_next_secret:
            yield "SIPS_NEXT_CLIENT_ID also needs SIPS_NEXT_CLIENT_SECRET or SIPS_NEXT_CLIENT_SECRET_FILE"
        if not self.sips_call_seconds < self.handler_seconds < self.grace_seconds:
            yield (
                "needs SIPS_CALL_SECONDS < HANDLER_SECONDS < GRACE_SECONDS, but they are "
                f"{self.sips_call_seconds:g}, {self.handler_seconds:g} and {self.grace_seconds:g}"
            )
        if not self.grace_seconds < self.lease_seconds:
            yield f"needs GRACE_SECONDS < LEASE_SECONDS, but they are {self.grace_seconds:g} and {self.lease_seconds:g}"

    def _faults_of_the_blob_store(self) -> Iterator[str]:
        if self.blob_folder and self.blob_s3_bucket:
            yield "set BLOB_FOLDER or BLOB_S3_BUCKET, not both"
        if self.blob_folder and not self.blob_base_url:
            yield "BLOB_FOLDER also needs BLOB_BASE_URL, where receivers open what is kept in it"
        if bool(self.blob_s3_access_key_id) != bool(self.blob_s3_secret_access_key.get_secret_value()):
            yield "set both of BLOB_S3_ACCESS_KEY_ID and BLOB_S3_SECRET_ACCESS_KEY, or neither"
        if self.blob_s3_bucket and not self.blob_base_url and self.blob_retention_days > LONGEST_SIGNED_DAYS:
            yield f"BLOB_RETENTION_DAYS above {LONGEST_SIGNED_DAYS} also needs BLOB_BASE_URL: S3 signs no address for longer"

    def _faults_of_the_webhook(self) -> Iterator[str]:
        for verifier in ("path", "header", "hmac"):
            secret, file = self._webhook_secret(verifier)
            name = f"WEBHOOK_{verifier.upper()}_SECRET"
            if secret and file:
                yield f"set {name} or {name}_FILE, not both"
            header = {"header": "webhook_header", "hmac": "webhook_hmac_header"}.get(verifier)
            if header and bool(getattr(self, header)) != bool(secret or file):
                yield f"set both of {header.upper()} and {name} (or {name}_FILE), or neither"

    def _webhook_secret(self, verifier: str) -> tuple[str, Path | None]:
        secret: SecretStr = getattr(self, f"webhook_{verifier}_secret")
        return secret.get_secret_value(), getattr(self, f"webhook_{verifier}_secret_file")

    def _lacks_outside_the_sandbox(self) -> Iterator[str]:
        if self.sips_environment == "sandbox" or not self.calls_sips:
            return
        needed = {
            "SIPS_CLIENT_ID": self.sips_client_id,
            "SIPS_CLIENT_SECRET or SIPS_CLIENT_SECRET_FILE": self.has_secret,
            "SIPS_SOURCE_SYSTEM": self.sips_source_system,
            "SIPS_TIME_ZONE": self.sips_time_zone,
        }
        if missing := [name for name, value in needed.items() if not value]:
            yield f"SIPS_ENVIRONMENT={self.sips_environment} also needs {', '.join(missing)}"
        if urlsplit(self.base_url).scheme != "https":
            yield "SIPS_BASE_URL must be https outside the sandbox"

    @property
    def has_secret(self) -> bool:
        """Whether a client secret is configured, in either way."""
        return bool(self.sips_client_secret.get_secret_value() or self.sips_client_secret_file)

    @property
    def has_next_secret(self) -> bool:
        """The same of the pair that comes next."""
        return bool(self.sips_next_client_secret.get_secret_value() or self.sips_next_client_secret_file)

    @property
    def base_url(self) -> str:
        """The address of SIPS, without a slash at its end."""
        return self.sips_base_url or BASE_URLS[self.sips_environment]

    @property
    def client_id(self) -> str:
        """The client id; in the sandbox a stand-in where none is set."""
        return self.sips_client_id or "sandbox-client"

    @property
    def next_client_id(self) -> str:
        """The client id of the pair that comes next."""
        return self.sips_next_client_id or self.client_id

    @property
    def source_system(self) -> str:
        """The partner's name at SIPS; in the sandbox a stand-in where none is set."""
        return self.sips_source_system or "SANDBOX"

    @property
    def time_zone(self) -> zoneinfo.ZoneInfo:
        """The zone of SIPS' zoneless dates; UTC in the sandbox where none is set."""
        return zoneinfo.ZoneInfo(self.sips_time_zone or "UTC")

    @property
    def keeps_orders_safe(self) -> bool:
        """Whether orders may be taken with this database; SQLite's locks protect nothing from workers of another host."""
        is_sqlite = self.database_url.get_secret_value().startswith("sqlite:")
        return not is_sqlite or self.sqlite_single_host or self.sips_environment == "sandbox"

    def client_secret(self) -> str:
        """The client secret, read anew from its file where it has one; in the sandbox a stand-in where none is set.

        Raises:
            SettingsError: The file cannot be read, is empty, or holds more than one line.
        """
        if self.sips_client_secret_file is None:
            return self.sips_client_secret.get_secret_value() or "sandbox-secret"
        return _secret_in("SIPS_CLIENT_SECRET_FILE", self.sips_client_secret_file)

    def next_client_secret(self) -> str:
        """The secret of the pair that comes next, read anew; empty where there is none.

        Raises:
            SettingsError: The file cannot be read, is empty, or holds more than one line.
        """
        if self.sips_next_client_secret_file is None:
            return self.sips_next_client_secret.get_secret_value()
        return _secret_in("SIPS_NEXT_CLIENT_SECRET_FILE", self.sips_next_client_secret_file)

    def webhook_secrets(self, verifier: Literal["path", "header", "hmac"]) -> tuple[str, ...]:
        """The one or two secrets that calls of SIPS are verified with, read anew from their file; empty where there are none.

        Raises:
            SettingsError: The file cannot be read or is empty, there are more than two, or one cannot stand in a path.
        """
        secret, file = self._webhook_secret(verifier)
        name = f"WEBHOOK_{verifier.upper()}_SECRET"
        secrets = (_text_of(f"{name}_FILE", file) if file else secret).split()
        if len(secrets) > MAX_WEBHOOK_SECRETS:
            raise SettingsError(f"{name} holds {len(secrets)} secrets; it must hold one, or around a rotation two")
        if verifier == "path" and not all(re.fullmatch(r"[A-Za-z0-9._~-]{16,}", each) for each in secrets):
            raise SettingsError(f"{name} must have 16 or more letters, digits, -, ., _ or ~; try `openssl rand -hex 16`")
        return tuple(secrets)

    def credentials(self) -> tuple[Credentials, ...]:
        """The pairs whose secrets can be read now, the current one first.

        Raises:
            SettingsError: There is none; one line for each.
        """
        pairs = self.pairs()
        if not pairs.readable:
            raise SettingsError("\n".join(pairs.unreadable))
        return pairs.readable

    def pairs(self) -> Pairs:
        """Both pairs, with their secrets read anew."""
        readable, unreadable = [], []
        named = (("current", self.client_id, self.client_secret), ("next", self.next_client_id, self.next_client_secret))
        for pair, client_id, read in named:
            try:
                if secret := read():
                    readable.append(Credentials(pair, client_id, secret))
            except SettingsError as error:
                unreadable.append(str(error))
        return Pairs(tuple(readable), tuple(unreadable))


class _WithoutSips(Settings):
    """Of a process that never calls SIPS."""

    model_config = SettingsConfigDict(defer_build=True)  # most processes need the other one alone
    calls_sips: ClassVar[bool] = False


def _text_of(name: str, file: Path) -> str:
    try:
        text = file.read_text(encoding="utf-8-sig").strip()  # editors of Windows put a mark before the text
    except (OSError, UnicodeDecodeError) as error:
        what = f"{name}={file} cannot be read ({type(error).__name__}); check the path and its permissions"
        raise SettingsError(what) from None
    if not text:
        raise SettingsError(f"{name}={file} is empty")
    return text


def _secret_in(name: str, file: Path) -> str:
    secret = _text_of(name, file)
    if len(secret.splitlines()) > 1:
        raise SettingsError(f"{name}={file} holds more than one line; it must hold the client secret alone")
    return secret


def _json_list(value: Any) -> list[Any] | None:
    """A list that may stand in JSON; None if it is none."""
    try:
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return list(value) if isinstance(value, list | tuple) else None


def check_amqp_url(url: str) -> None:
    """Raises a `ValueError` that says what is wrong, without any part of the URL, if this is no address of RabbitMQ."""
    if not _is_amqp_url(url):
        raise ValueError(
            "must look like amqp://user:password@host:5672/vhost, with /, ?, # and @ in user and password percent-encoded"
        )
    try:
        pika.URLParameters(url)
    except Exception as error:  # noqa: BLE001 - pika says it in many ways, some of them with the password
        what = f"has a port, a virtual host or an option that pika cannot read ({type(error).__name__})"
        raise ValueError(what) from None


def _is_amqp_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    has_both_or_none = (parts.username is None) == (parts.password is None)
    is_whole = "@" not in f"{parts.path}{parts.query}{parts.fragment}" and not parts.fragment  # else a password was cut
    return parts.scheme in {"amqp", "amqps"} and bool(parts.hostname) and has_both_or_none and is_whole


def _is_database_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    has_path = bool(parts.path.strip("/"))
    if url.startswith("sqlite:///"):
        return has_path and not parts.query
    # A password of its own in the query is right; one that was cut by the query has its @ there, and none before.
    is_whole = "@" not in parts.path + parts.fragment and ("@" not in parts.query or "@" in parts.netloc)
    return parts.scheme in {"postgresql", "postgres"} and bool(parts.hostname) and has_path and is_whole


def _is_base_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    is_plain = not parts.query and not parts.fragment and "@" not in parts.netloc and not any(map(str.isspace, url))
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0 and is_plain


def load(**overrides: object) -> Settings:
    """The settings of this process; `overrides` (from command line options) win over the environment.

    Raises:
        SettingsError: One line per missing or wrong setting.
    """
    return _load(Settings, overrides)


def load_without_sips() -> Settings:
    """The settings of a process that never calls SIPS: what calls need, such as credentials, may be missing.

    Raises:
        SettingsError: As `load`.
    """
    return _load(_WithoutSips, {})


def _load(kind: type[Settings], overrides: dict[str, object]) -> Settings:
    _check_env_file()
    try:
        return kind(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        raise SettingsError("\n".join(_line(problem["loc"], problem["msg"]) for problem in error.errors())) from None


def _check_env_file() -> None:
    """Refuse a file with a line that cannot be read: what was meant by it would silently be the default instead."""
    path = Path(ENV_FILE)
    if not path.is_file():
        return
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{ENV_FILE} cannot be read ({type(error).__name__}); it must be a text file in UTF-8") from None
    if wrong := [binding.original for binding in parse_stream(io.StringIO(text)) if binding.error]:
        lines = (broken.line + _blank_lines_before(broken.string) for broken in wrong)
        raise SettingsError("\n".join(f"{ENV_FILE} line {line} cannot be read; write NAME=value" for line in lines))


def _blank_lines_before(text: str) -> int:
    return text[: len(text) - len(text.lstrip())].count("\n")


def _line(location: tuple[int | str, ...], message: str) -> str:
    name = "__".join(part for part in location if isinstance(part, str)).upper()
    text = message.removeprefix("Value error, ")
    return f"{name}: {text}" if name else text


def describe(**overrides: object) -> list[tuple[str, str, str, str]]:
    """Every setting as (variable, value with secrets masked, where it came from, meaning); `overrides` as in `load`.

    Raises:
        SettingsError: As `load`.
    """
    settings = load(**overrides)
    sources = {
        "option": {name.upper() for name in overrides},
        "environment": {name.upper() for name in os.environ},
        ENV_FILE: {name.upper() for name, value in dotenv_values(ENV_FILE).items() if value is not None},
    }
    rows = []
    for field, info in Settings.model_fields.items():
        name = field.upper()
        source = next((label for label, names in sources.items() if _is_in(name, names)), "default")
        rows.append((name, _shown(field, settings), source, info.description or ""))
    return rows


def _is_in(name: str, names: set[str]) -> bool:
    return name in names or any(other.startswith(f"{name}__") for other in names)


def _shown(field: str, settings: Settings) -> str:
    """The value as it would be written in the environment, with its secret part masked."""
    value = getattr(settings, field)
    match value:
        case SecretStr():
            secret = value.get_secret_value()
            text = _masked(secret) if field in {"amqp_url", "database_url"} else "***" if secret else ""
        case None:
            text = ""
        case bool():
            text = str(value).lower()
        case tuple():
            text = json.dumps(value)
        case dict():
            text = ", ".join(f"{key}={item}" for key, item in value.items())
        case float():
            text = f"{value:g}"
        case _:
            text = settings.base_url if field == "sips_base_url" else str(value)
    return text


def _masked(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}:***@" if parts.username is not None else ""
    return f"{parts.scheme}://{user}{host}{parts.path}"
