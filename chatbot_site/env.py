"""The site's settings as typed values, read from the environment and an optional `.env` file.

Every name here is documented in `docs/settings.md`. A wrong value ends the process with one line
for each mistake, before anything else starts.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"
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
        env_file=BASE_DIR / ".env", extra="ignore", env_ignore_empty=True, frozen=True
    )

    # The site
    host: str = Field("127.0.0.1", min_length=1, validation_alias="CHATBOT_HOST")
    port: int = Field(8000, ge=1, le=65535)
    debug: bool = False
    secret_key: str = ""
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
    device: Literal["auto", "cpu", "cuda"] = Field("auto", validation_alias="CHATBOT_DEVICE")
    threads: int = Field(0, ge=0, le=256, validation_alias="CHATBOT_THREADS")
    max_batch: int = Field(32, ge=1, le=256, validation_alias="CHATBOT_MAX_BATCH")
    max_queue: int = Field(256, ge=0, le=10_000, validation_alias="CHATBOT_MAX_QUEUE")
    kv_cache_mb: int | None = Field(None, ge=0, le=65_536, validation_alias="CHATBOT_KV_CACHE_MB")
    max_tokens: int | None = Field(None, ge=1, le=1024, validation_alias="CHATBOT_MAX_TOKENS")
    temperature: float | None = Field(None, ge=0, le=5, validation_alias="CHATBOT_TEMPERATURE")
    top_k: int | None = Field(None, ge=1, le=64, validation_alias="CHATBOT_TOP_K")
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
    twilio_account_sid: str = Field("", pattern=r"^(AC\w+)?$")
    twilio_auth_token: str = ""
    twilio_api_base: str = ""
    sms_number: str = Field("", validation_alias="CHATBOT_SMS_NUMBER")
    sms_deadline: float = Field(8, ge=0, le=14, validation_alias="CHATBOT_SMS_DEADLINE")
    sms_idle_minutes: float = Field(
        15, gt=0, le=525_600, validation_alias="CHATBOT_SMS_IDLE_MINUTES"
    )
    sms_max_segments: int = Field(2, ge=1, le=10, validation_alias="CHATBOT_SMS_MAX_SEGMENTS")
    sms_candidates: int | None = Field(None, ge=1, le=8, validation_alias="CHATBOT_SMS_CANDIDATES")
    sms_rate: Rate = Field("10/minute;60/hour", validation_alias="CHATBOT_SMS_RATE")
    sms_global_rate: Rate = Field("300/minute", validation_alias="CHATBOT_SMS_GLOBAL_RATE")
    sms_daily_cap: int = Field(200, ge=1, validation_alias="CHATBOT_SMS_DAILY_CAP")

    @field_validator("allowed_hosts", "csrf_trusted_origins", mode="before")
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
        _check_port(value)
        name = unquote(urlsplit(value).path.removeprefix("/"))
        if not name:
            msg = "the database's name is missing after the host"
            raise ValueError(msg)
        folder = Path(name).parent
        if urlsplit(value).scheme == "sqlite" and folder != VAR_DIR and not folder.is_dir():
            msg = f"there is no directory {folder} for the database to be in"
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
        """Variables that look like ours and are not, each with the name that was probably meant."""
        dotenv = DotEnvSettingsSource(cls, env_file=BASE_DIR / ".env").env_vars
        given = {name.upper() for name in (*os.environ, *dotenv)}
        names = cls.names()
        return {
            name: next(iter(difflib.get_close_matches(name, names, n=1)), "")
            for name in sorted(given.difference(names))
            if name.startswith("CHATBOT_")
        }


def _check_port(address: str) -> None:
    """Raises ValueError; Python's own would say a part of a password that is not encoded."""
    try:
        _ = urlsplit(address).port
    except ValueError:
        msg = "the port is no number; write #, / and @ in a password as %23, %2F and %40"
        raise ValueError(msg) from None


def _is_origin(value: str) -> bool:
    parts = urlsplit(value)
    _ = parts.port  # raises ValueError when it is not a port
    return parts.scheme in {"http", "https"} and value == f"{parts.scheme}://{parts.netloc}" != (
        f"{parts.scheme}://"
    )


def read_env() -> Env:
    """Read the environment; on a wrong value print what is wrong and exit with status 2."""
    try:
        return Env()
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
        sys.stderr.write(f"{BASE_DIR / '.env'} cannot be read: {error}\n")
    sys.exit(2)
