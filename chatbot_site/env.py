"""The site's settings as typed values, read from the environment and an optional `.env` file.

Every name here is documented in `docs/settings.md`. A wrong value ends the process with one line
for each mistake, before anything else starts.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = BASE_DIR / "var"

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


class Env(BaseSettings):
    """What can be set from outside, with the value used when nothing is set."""

    model_config = SettingsConfigDict(
        env_file=BASE_DIR / ".env", extra="ignore", env_ignore_empty=True, frozen=True
    )

    # The site
    host: str = Field("127.0.0.1", min_length=1, validation_alias="CHATBOT_HOST")
    port: int = Field(8000, ge=1, le=65535)
    debug: bool = False
    secret_key: str = Field("", min_length=0)
    allowed_hosts: CommaSeparated = []
    csrf_trusted_origins: CommaSeparated = []
    public_url: str = ""
    database_url: str = f"sqlite:///{VAR_DIR / 'db.sqlite3'}"
    redis_url: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", validation_alias="CHATBOT_LOG_LEVEL"
    )
    trusted_proxies: int = Field(0, ge=0, le=5, validation_alias="CHATBOT_TRUSTED_PROXIES")

    # The model
    bundle: Path = Field(
        BASE_DIR / "inference" / "bundles" / "default", validation_alias="CHATBOT_BUNDLE"
    )
    threads: int = Field(0, ge=0, le=256, validation_alias="CHATBOT_THREADS")
    max_batch: int = Field(32, ge=1, le=256, validation_alias="CHATBOT_MAX_BATCH")
    max_queue: int = Field(256, ge=0, le=10_000, validation_alias="CHATBOT_MAX_QUEUE")
    kv_cache_mb: int = Field(64, ge=0, le=65_536, validation_alias="CHATBOT_KV_CACHE_MB")
    max_tokens: int | None = Field(None, ge=1, le=1024, validation_alias="CHATBOT_MAX_TOKENS")
    temperature: float | None = Field(None, ge=0, le=5, validation_alias="CHATBOT_TEMPERATURE")
    top_k: int | None = Field(None, ge=1, le=64, validation_alias="CHATBOT_TOP_K")
    top_p: float | None = Field(None, gt=0, le=1, validation_alias="CHATBOT_TOP_P")
    repetition_penalty: float | None = Field(
        None, ge=1, le=5, validation_alias="CHATBOT_REPETITION_PENALTY"
    )

    # Conversations
    message_max_length: int = Field(
        1000, ge=1, le=20_000, validation_alias="CHATBOT_MESSAGE_MAX_LENGTH"
    )
    message_rate: Rate = Field("30/minute", validation_alias="CHATBOT_MESSAGE_RATE")
    conversation_rate: Rate = Field("60/hour", validation_alias="CHATBOT_CONVERSATION_RATE")
    reply_timeout: float = Field(60, ge=1, le=600, validation_alias="CHATBOT_REPLY_TIMEOUT")

    @field_validator("allowed_hosts", "csrf_trusted_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [item.strip() for item in value.split(",") if item.strip()]
        return value

    @field_validator("csrf_trusted_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for origin in value:
            if urlsplit(origin).scheme not in {"http", "https"} or not urlsplit(origin).netloc:
                msg = f"{origin!r} is not an origin; write for example https://chat.example.org"
                raise ValueError(msg)
        return value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname):
            msg = f"{value!r} is not a web address; write for example https://chat.example.org"
            raise ValueError(msg)
        if parts.query or parts.fragment or parts.path not in {"", "/"}:
            msg = f"{value!r} has more than a scheme, host and port; leave out the rest"
            raise ValueError(msg)
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str) -> str:
        if urlsplit(value).scheme not in {"sqlite", "postgres", "postgresql"}:
            msg = "write sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME"
            raise ValueError(msg)
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in {"redis", "rediss", "unix"}:
            msg = "write redis://HOST:PORT/NUMBER"
            raise ValueError(msg)
        return value

    @field_validator("secret_key")
    @classmethod
    def _secret_key(cls, value: str) -> str:
        if value and len(value) < 32:
            msg = "write at least 32 random characters"
            raise ValueError(msg)
        return value

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


def read_env() -> Env:
    """Read the environment; on a wrong value print what is wrong and exit with status 2."""
    try:
        return Env()
    except ValidationError as error:
        for mistake in error.errors(include_url=False):
            name = ".".join(str(part) for part in mistake["loc"]).upper()
            reason = mistake["msg"].removeprefix("Value error, ")
            given = "" if "SECRET" in name or "TOKEN" in name else f" (given: {mistake['input']!r})"
            sys.stderr.write(f"Setting {name} is wrong: {reason}{given}\n")
        sys.exit(2)


def local_secret_key() -> str:
    """The key of an installation that sets none: made once, kept in `var/`, readable by its owner.

    Two processes that start at once agree: the first to create the file wins.
    """
    path = VAR_DIR / "secret_key"
    VAR_DIR.mkdir(exist_ok=True)
    if not path.exists():
        draft = path.with_name(f"secret_key.{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
