"""The site's settings as typed values, read from the environment and an optional `.env` file.

Every name here is documented in `docs/settings.md`. A wrong value ends the process with one line
for each mistake, before anything else starts.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv.parser import parse_stream
from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from inference.params import MAX_CANDIDATES, TOP_K_LIMIT, Device

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"
ENV_FILE = BASE_DIR / ".env"
# A wrong value of one of these is not repeated on the screen or in a log.
CONFIDENTIAL = ("SECRET", "TOKEN", "DATABASE_URL", "REDIS_URL")

CommaSeparated = Annotated[list[str], NoDecode]


def _rate(value: str) -> str:
    from limits import parse_many

    try:
        parse_many(value)
    except ValueError:
        msg = f"{value!r} is not a rate; write for example 30/minute or 5/second;200/hour"
        raise ValueError(msg) from None
    return value


Rate = Annotated[str, AfterValidator(_rate)]


def _one_proxy_if_https(data: dict[str, Any]) -> int:
    return int(str(data.get("public_url", "")).startswith("https://"))


class Env(BaseSettings):
    """What can be set from outside, with the value used when nothing is set."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE, extra="ignore", env_ignore_empty=True, frozen=True
    )

    # The site
    host: str = Field("127.0.0.1", min_length=1, validation_alias="CHATBOT_HOST")
    port: int = Field(8000, ge=1, le=65535)
    debug: bool = False
    secret_key: str = ""
    secret_key_fallbacks: CommaSeparated = []
    allowed_hosts: CommaSeparated = []
    csrf_trusted_origins: CommaSeparated = []
    public_url: str = ""
    database_url: str = f"sqlite:///{VAR_DIR / 'db.sqlite3'}"
    redis_url: str = ""
    trusted_proxies: int = Field(
        default_factory=_one_proxy_if_https,
        ge=0,
        le=5,
        validation_alias="CHATBOT_TRUSTED_PROXIES",
    )
    hsts_seconds: int = Field(
        30 * 24 * 3600, ge=0, le=2 * 365 * 24 * 3600, validation_alias="CHATBOT_HSTS_SECONDS"
    )
    time_zone: str = Field("UTC", validation_alias="CHATBOT_TIME_ZONE")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="CHATBOT_LOG_LEVEL"
    )
    metrics_token: str = Field("", validation_alias="CHATBOT_METRICS_TOKEN")

    # The model
    bundle: Path = Field(
        BASE_DIR / "inference" / "bundles" / "default", validation_alias="CHATBOT_BUNDLE"
    )
    device: Device = Field("auto", validation_alias="CHATBOT_DEVICE")
    threads: int = Field(0, ge=0, le=256, validation_alias="CHATBOT_THREADS")
    max_batch: int = Field(32, ge=1, le=256, validation_alias="CHATBOT_MAX_BATCH")
    max_queue: int = Field(256, ge=0, le=10_000, validation_alias="CHATBOT_MAX_QUEUE")
    kv_cache_mb: int | None = Field(None, ge=0, le=65_536, validation_alias="CHATBOT_KV_CACHE_MB")
    tokens_per_second: float = Field(
        50, ge=0, le=10_000, validation_alias="CHATBOT_TOKENS_PER_SECOND"
    )
    max_tokens: int | None = Field(None, ge=1, le=1024, validation_alias="CHATBOT_MAX_TOKENS")
    temperature: float | None = Field(None, ge=0, le=5, validation_alias="CHATBOT_TEMPERATURE")
    top_k: int | None = Field(None, ge=1, le=TOP_K_LIMIT, validation_alias="CHATBOT_TOP_K")
    top_p: float | None = Field(None, gt=0, le=1, validation_alias="CHATBOT_TOP_P")
    repetition_penalty: float | None = Field(
        None, ge=1, le=5, validation_alias="CHATBOT_REPETITION_PENALTY"
    )
    copying: float | None = Field(None, ge=0, le=1, validation_alias="CHATBOT_COPYING")

    # Conversations
    message_max_length: int = Field(
        1000, ge=1, le=20_000, validation_alias="CHATBOT_MESSAGE_MAX_LENGTH"
    )
    message_rate: Rate = Field("30/minute", validation_alias="CHATBOT_MESSAGE_RATE")
    conversation_rate: Rate = Field("60/hour", validation_alias="CHATBOT_CONVERSATION_RATE")
    sign_in_rate: Rate = Field("10/minute;60/hour", validation_alias="CHATBOT_SIGN_IN_RATE")
    reply_timeout: float = Field(60, ge=1, le=600, validation_alias="CHATBOT_REPLY_TIMEOUT")

    # Text messages
    twilio_account_sid: str = ""
    twilio_auth_token: str = ""
    twilio_api_base: str = ""
    sms_number: str = Field("", validation_alias="CHATBOT_SMS_NUMBER")
    sms_deadline: float = Field(8, ge=0, le=14, validation_alias="CHATBOT_SMS_DEADLINE")
    sms_idle_minutes: float = Field(
        15, gt=0, le=525_600, validation_alias="CHATBOT_SMS_IDLE_MINUTES"
    )
    sms_max_segments: int = Field(2, ge=1, le=10, validation_alias="CHATBOT_SMS_MAX_SEGMENTS")
    sms_candidates: int | None = Field(
        None, ge=1, le=MAX_CANDIDATES, validation_alias="CHATBOT_SMS_CANDIDATES"
    )
    sms_rate: Rate = Field("10/minute;60/hour", validation_alias="CHATBOT_SMS_RATE")
    sms_global_rate: Rate = Field("300/minute", validation_alias="CHATBOT_SMS_GLOBAL_RATE")
    sms_daily_cap: int = Field(200, ge=1, validation_alias="CHATBOT_SMS_DAILY_CAP")

    @field_validator("allowed_hosts", "csrf_trusted_origins", "secret_key_fallbacks", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [item.strip() for item in value.split(",") if item.strip()]
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        for host in value:
            if "/" in host or (":" in host and not host.endswith("]")):
                msg = f"{host!r} is not a host; leave out scheme, port and path"
                raise ValueError(msg)
        return value

    @field_validator("csrf_trusted_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if not _is_origin(origin):
                msg = f"{origin!r} is not an origin; write for example https://chat.example.org"
                raise ValueError(msg)
        return value

    @field_validator("public_url", "twilio_api_base")
    @classmethod
    def _public_url(cls, value: str) -> str:
        value = value.removesuffix("/")
        if value and not _is_origin(value):
            msg = "write scheme and host only, for example https://chat.example.org"
            raise ValueError(msg)
        return value

    @field_validator("host")
    @classmethod
    def _host(cls, value: str) -> str:
        try:
            ipaddress.ip_address(value)
        except ValueError:
            if "/" in value or ":" in value:
                msg = "write an address only, for example 0.0.0.0; the port is set with PORT"
                raise ValueError(msg) from None
        return value

    @field_validator("twilio_account_sid")
    @classmethod
    def _account(cls, value: str) -> str:
        if value and not re.fullmatch(r"AC\w+", value):
            msg = "write the account's SID, AC… on the front page of Twilio's console"
            raise ValueError(msg)
        return value

    @field_validator("sms_number")
    @classmethod
    def _sms_number(cls, value: str) -> str:
        if value and not re.fullmatch(r"\+[1-9]\d{6,14}|\d{3,8}", value):
            msg = "write the number with + and the country's code, for example +14155550123"
            raise ValueError(msg)
        return value

    @field_validator("time_zone")
    @classmethod
    def _time_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            msg = "no such time zone; write for example Europe/Berlin"
            raise ValueError(msg) from None
        return value

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str) -> str:
        if urlsplit(value).scheme not in {"sqlite", "postgres", "postgresql"}:
            msg = "write sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME"
            raise ValueError(msg)
        if urlsplit(value).scheme == "sqlite":
            return _sqlite_url(value)
        _check_port(value)
        if not urlsplit(value).path.removeprefix("/"):
            msg = "the database's name is missing after the host"
            raise ValueError(msg)
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in {"redis", "rediss", "unix"}:
            msg = "write redis://HOST:PORT/NUMBER"
            raise ValueError(msg)
        if value.startswith("redis"):
            _check_port(value)
            if not re.fullmatch(r"(/\d*)?", urlsplit(value).path):
                msg = "what follows the host is the database's number: redis://HOST:PORT/0"
                raise ValueError(msg)
        return value

    @field_validator("secret_key", "metrics_token")
    @classmethod
    def _secret(cls, value: str) -> str:
        if value and len(value) < 32:
            msg = "write at least 32 random characters"
            raise ValueError(msg)
        return value

    @field_validator("bundle")
    @classmethod
    def _bundle(cls, value: Path) -> Path:
        return BASE_DIR / value

    @property
    def https(self) -> bool:
        """Whether people reach the site over TLS."""
        return self.public_url.startswith("https://")

    @classmethod
    def names(cls) -> list[str]:
        """The names of all variables, as they are written in the environment."""
        return [
            str(field.validation_alias or name).upper() for name, field in cls.model_fields.items()
        ]

    @classmethod
    def unknown_names(cls) -> dict[str, str]:
        """Variables that look like ours and are not, each with the name that was probably meant.

        In `.env` that is also what is nearly a name without our prefix.
        """
        dotenv = DotEnvSettingsSource(cls, env_file=ENV_FILE).env_vars
        in_file = {name.upper() for name in dotenv}
        given = in_file.union(name.upper() for name in os.environ)
        names = cls.names()
        unknown = {
            name: next(iter(difflib.get_close_matches(name, names, n=1)), "")
            for name in given.difference(names)
            if name.startswith("CHATBOT_")
        }
        for name in in_file.difference(names, unknown):
            if meant := difflib.get_close_matches(name, names, n=1, cutoff=0.85):
                unknown[name] = meant[0]
        return dict(sorted(unknown.items()))


def _sqlite_url(value: str) -> str:
    """With an absolute path: commands are started from anywhere."""
    parts = urlsplit(value)
    name = unquote(parts.path.removeprefix("/"))
    if parts.netloc or not name:
        msg = "write sqlite:///PATH, for an absolute path sqlite:////PATH"
        raise ValueError(msg)
    path = BASE_DIR / name
    if path.parent != VAR_DIR and not path.parent.is_dir():
        msg = f"there is no directory {path.parent} for the database to be in"
        raise ValueError(msg)
    options = f"?{parts.query}" if parts.query else ""
    return f"sqlite:///{quote(str(path))}{options}"


def _check_port(address: str) -> None:
    """Raises ValueError; Python's own would say a part of a password that is not encoded."""
    try:
        _ = urlsplit(address).port
    except ValueError:
        msg = "the port is no number; write #, / and @ in a password as %23, %2F and %40"
        raise ValueError(msg) from None


def _is_origin(value: str) -> bool:
    parts = urlsplit(value)
    if parts.username is not None:
        return False
    _ = parts.port  # raises ValueError when it is not a port
    return parts.scheme in {"http", "https"} and value == f"{parts.scheme}://{parts.netloc}" != (
        f"{parts.scheme}://"
    )


def read_env() -> Env:
    """Read the environment; on a wrong value print what is wrong and exit with status 2."""
    try:
        if not (damaged := _damaged_lines()):
            return Env()
        for number in damaged:
            sys.stderr.write(
                f"{ENV_FILE} line {number} cannot be understood: write NAME=value, and quotes in "
                "pairs or not at all\n"
            )
    except ValidationError as error:
        for mistake in error.errors(include_url=False):
            if mistake["type"] == "default_factory_not_called":
                continue  # only follows from another mistake
            name = ".".join(str(part) for part in mistake["loc"]).upper()
            reason = mistake["msg"].removeprefix("Value error, ").replace("Input should", "must")
            secret = any(word in name for word in CONFIDENTIAL)
            given = "" if secret else f" (given: {mistake['input']!r})"
            sys.stderr.write(f"Setting {name} is wrong: {reason}{given}\n")
    except (OSError, UnicodeDecodeError) as error:
        sys.stderr.write(f"{ENV_FILE} cannot be read: {error}\n")
    sys.exit(2)


def _damaged_lines() -> list[int]:
    """Lines of `.env` that would be passed over with what they set."""
    if not ENV_FILE.exists():
        return []
    with ENV_FILE.open(encoding="utf-8") as file:
        return [binding.original.line for binding in parse_stream(file) if binding.error]


def make_var_dir() -> None:
    """Where this installation keeps what it makes, chats among it: for its owner only."""
    try:
        VAR_DIR.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        sys.stderr.write(f"{VAR_DIR} cannot be made: {error.strerror}\n")
        sys.exit(2)
