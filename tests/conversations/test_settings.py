"""Settings from the environment: typed, documented, and loud when they are wrong."""

from __future__ import annotations

import logging
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from pytest_django import Settings

from chatbot_site.env import BASE_DIR, Env
from chatbot_site.logs import REPEAT_SECONDS, LineFormatter, Repeats
from tests.conversations.processes import run

SECRET = "0123456789abcdef" * 4
PRODUCTION = {"PUBLIC_URL": "https://chat.example.org", "SECRET_KEY": SECRET}


def evaluate(expression: str, **environment: str) -> str:
    """What an expression is with the settings `s`, in a fresh process."""
    code = f"from chatbot_site import settings as s; print({expression})"
    result = run("-c", code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


class TestDocuments:
    def test_every_setting_is_documented_and_every_documented_one_exists(self) -> None:
        text = (BASE_DIR / "docs" / "settings.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|", text, re.MULTILINE)
        assert sorted(rows) == sorted(Env.names())

    def test_example_file_names_every_setting(self) -> None:
        text = (BASE_DIR / ".env.example").read_text(encoding="utf-8")
        names = re.findall(r"^# ?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)
        assert sorted(names) == sorted(Env.names())

    def test_example_file_is_valid_as_it_is_and_with_everything_switched_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in Env.names():
            monkeypatch.delenv(name, raising=False)
        text = (BASE_DIR / ".env.example").read_text(encoding="utf-8")
        for number, content in enumerate(
            (text, re.sub(r"^# ?([A-Z_0-9]+=)", r"\1", text, flags=re.M))
        ):
            path = tmp_path / f"{number}.env"
            path.write_text(content.replace("/srv/chatbot", str(tmp_path)))
            (tmp_path / "var").mkdir(exist_ok=True)
            Env(_env_file=path)


class TestWrongValues:
    @pytest.mark.parametrize(
        ("name", "value", "reason"),
        [
            ("PORT", "many", "must be a valid integer"),
            ("PORT", "70000", "must be less than or equal to 65535"),
            ("DEBUG", "perhaps", "must be a valid boolean"),
            ("SECRET_KEY", "short", "at least 32 random characters"),
            ("ALLOWED_HOSTS", "a.org,https://b.org", "'https://b.org' is not a host"),
            ("ALLOWED_HOSTS", "a.org:8000", "leave out scheme, port and path"),
            ("CSRF_TRUSTED_ORIGINS", "chat.example.org", "is not an origin"),
            ("PUBLIC_URL", "chat.example.org", "scheme and host only"),
            ("PUBLIC_URL", "https://chat.example.org/chat", "scheme and host only"),
            ("PUBLIC_URL", "https://", "scheme and host only"),
            ("PUBLIC_URL", "http://a.org:99999", "Port out of range"),
            ("DATABASE_URL", "mysql://u:p@h/n", "write sqlite:///PATH or postgres://"),
            ("DATABASE_URL", "sqlite:////no/such/folder/db", "there is no directory"),
            ("DATABASE_URL", "postgres://u:p@h", "the database's name is missing"),
            ("DATABASE_URL", "postgres://u:geheim#1@h/n", "#, / and @ in a password"),
            ("REDIS_URL", "redis://:geheim/1@h/0", "#, / and @ in a password"),
            ("REDIS_URL", "http://localhost", "write redis://"),
            ("REDIS_URL", "redis://localhost/cache", "the database's number"),
            ("DATABASE_URL", "sqlite://:memory:", "write sqlite:///PATH"),
            ("DATABASE_URL", "sqlite://", "write sqlite:///PATH"),
            ("PUBLIC_URL", "https://me:pw@chat.example.org", "scheme and host only"),
            ("CHATBOT_HOST", "0.0.0.0:8000", "write an address only"),
            ("CHATBOT_HOST", "http://0.0.0.0", "write an address only"),
            ("TWILIO_ACCOUNT_SID", "SK123", "write the account's SID"),
            ("CHATBOT_SMS_IDLE_MINUTES", "inf", "must be less than or equal to 525600"),
            ("CHATBOT_MESSAGE_RATE", "lots", "30/minute"),
            ("CHATBOT_TEMPERATURE", "-1", "must be greater than or equal to 0"),
            ("CHATBOT_TOP_P", "0", "must be greater than 0"),
            ("CHATBOT_TOP_K", "65", "must be less than or equal to 64"),
            ("CHATBOT_LOG_LEVEL", "loud", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
            ("CHATBOT_TIME_ZONE", "Mars/Olympus", "no such time zone"),
            ("CHATBOT_TRUSTED_PROXIES", "9", "must be less than or equal to 5"),
            ("CHATBOT_METRICS_TOKEN", "short", "at least 32 random characters"),
        ],
    )
    def test_a_wrong_value_is_one_line_that_says_what_is_wrong(
        self,
        name: str,
        value: str,
        reason: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        from chatbot_site.env import read_env

        monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as stop:
            read_env()
        lines = capsys.readouterr().err.splitlines()
        assert stop.value.code == 2
        assert len(lines) == 1
        assert lines[0].startswith(f"Setting {name} is wrong: ")
        assert reason in lines[0]
        assert "geheim" not in lines[0]

    def test_the_process_ends_without_a_traceback(self) -> None:
        result = run("manage.py", "check", PORT="many", CHATBOT_TOP_K="1000")
        assert result.returncode != 0
        assert result.stdout == ""
        assert [line.split(":")[0] for line in result.stderr.splitlines()] == [
            "Setting PORT is wrong",
            "Setting CHATBOT_TOP_K is wrong",
        ]

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("SECRET_KEY", "hunter2"),
            ("DATABASE_URL", "postgres://chatbot:hunter2@db"),
            ("DATABASE_URL", "postgres://chatbot:hunter2@db:port/chatbot"),
            ("REDIS_URL", "http://:hunter2@cache"),
            ("CHATBOT_METRICS_TOKEN", "hunter2"),
        ],
    )
    def test_secrets_are_not_repeated(
        self,
        name: str,
        value: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        from chatbot_site.env import read_env

        monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit):
            read_env()
        assert "hunter2" not in capsys.readouterr().err

    def test_a_database_that_is_not_there_is_one_line_at_once(self) -> None:
        url = "postgres://chatbot:hunter2@127.0.0.1:1/chatbot"
        result = run("manage.py", "serve", DATABASE_URL=url)
        assert result.returncode == 1
        assert result.stderr.startswith("CommandError: The database cannot be used: ")
        assert len(result.stderr.splitlines()) == 1
        assert "hunter2" not in result.stderr

    @pytest.mark.parametrize("content", [b"this is no database, whatever its name", None])
    def test_a_file_that_is_no_database_is_one_line(
        self, tmp_path: Path, content: bytes | None
    ) -> None:
        path = tmp_path / "db.sqlite3"
        path.write_bytes(content) if content else path.mkdir()
        result = run("manage.py", "serve", DATABASE_URL=f"sqlite:///{path}")
        assert result.returncode == 1
        assert result.stderr.startswith("CommandError: The database cannot be used: ")
        assert len(result.stderr.splitlines()) == 1

    def test_misspelt_names_are_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CHATBOT_TEMPRATURE", "1")
        monkeypatch.setenv("CHATBOT_FLAVOUR_OF_THE_DAY", "1")
        assert Env.unknown_names() == {
            "CHATBOT_FLAVOUR_OF_THE_DAY": "",
            "CHATBOT_TEMPRATURE": "CHATBOT_TEMPERATURE",
        }


class TestFile:
    @pytest.fixture
    def site(self, tmp_path: Path) -> Path:
        """A place with the settings' code and no `.env` yet."""
        shutil.copytree(BASE_DIR / "chatbot_site", tmp_path / "chatbot_site")
        return tmp_path

    def port(self, site: Path, **environment: str) -> str:
        code = "from chatbot_site.env import read_env; print(read_env().port)"
        result = run("-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}", **environment)
        return result.stdout.strip() or result.stderr.strip()

    def test_values_come_from_it_and_the_environment_goes_first(self, site: Path) -> None:
        assert self.port(site) == "8000"
        (site / ".env").write_text("# a remark\nPORT=8123\nPATH_OF_OTHERS=/x\n")
        assert self.port(site) == "8123"
        assert self.port(site, PORT="8456") == "8456"
        assert self.port(site, PORT="") == "8123"

    def test_a_wrong_value_in_it_is_named(self, site: Path) -> None:
        (site / ".env").write_text("PORT=many\n")
        assert self.port(site).startswith("Setting PORT is wrong")

    def test_a_line_that_cannot_be_understood_is_named_and_not_repeated(self, site: Path) -> None:
        (site / ".env").write_text('PORT=8123\nhunter2 hunter3\nSECRET_KEY="hunter4\n')
        lines = self.port(site).splitlines()
        assert [line.split(" cannot be understood: write NAME=value")[0] for line in lines] == [
            f"{site}/.env line 2",
            f"{site}/.env line 3",
        ]
        assert "hunter" not in "".join(lines)

    def test_misspelt_names_in_it_are_noticed_without_a_prefix_too(self, site: Path) -> None:
        (site / ".env").write_text("DATABSE_URL=x\nCHATBOT_TOPK=1\nPATH_OF_OTHERS=/x\n")
        code = "from chatbot_site.env import Env; print(Env.unknown_names())"
        result = run("-c", f"import sys; sys.path.insert(0, {str(site)!r}); {code}")
        assert result.stdout.strip() == (
            "{'CHATBOT_TOPK': 'CHATBOT_TOP_K', 'DATABSE_URL': 'DATABASE_URL'}"
        )

    def test_no_secret_stands_in_the_example(self) -> None:
        text = (BASE_DIR / ".env.example").read_text(encoding="utf-8")
        secrets = re.findall(r"^# ?(\w*(?:SECRET|TOKEN)\w*)=(.*)$", text, re.MULTILINE)
        numbers = {"CHATBOT_MAX_TOKENS", "CHATBOT_TOKENS_PER_SECOND"}
        values = {name: value for name, value in secrets if name not in numbers}
        assert set(values) == {
            "SECRET_KEY",
            "SECRET_KEY_FALLBACKS",
            "CHATBOT_METRICS_TOKEN",
            "TWILIO_AUTH_TOKEN",
        }
        assert set(values.values()) == {""}

    def test_a_file_that_cannot_be_read_is_one_line(self, site: Path) -> None:
        (site / ".env").write_bytes(b"PORT=\xff\xfe\n")
        message = self.port(site)
        assert ".env cannot be read" in message
        assert "Traceback" not in message


class TestDefaults:
    def test_sqlite_logs_ahead_takes_the_write_lock_at_once_and_waits_for_it(self) -> None:
        options = evaluate("s.DATABASES['default']['OPTIONS']")
        assert "'transaction_mode': 'IMMEDIATE'" in options
        assert "'timeout': 20" in options
        assert "PRAGMA journal_mode=WAL" in options

    def test_options_of_the_database_s_address_are_passed_on_beside_them(
        self, tmp_path: Path
    ) -> None:
        url = f"sqlite:///{tmp_path}/db.sqlite3?timeout=60"
        options = evaluate("s.DATABASES['default']['OPTIONS']", DATABASE_URL=url)
        assert "'transaction_mode': 'IMMEDIATE'" in options
        assert "'timeout': 60" in options

    def test_sqlite_really_is_in_that_mode(self, tmp_path: Path) -> None:
        code = (
            "import django; django.setup(); from django.db import connection as c;"
            "x = c.cursor(); print(*(x.execute(f'PRAGMA {p}').fetchone()[0]"
            " for p in ('journal_mode', 'busy_timeout', 'synchronous', 'foreign_keys')))"
        )
        result = run(
            "-c",
            code,
            DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3",
        )
        assert result.stdout.split() == ["wal", "20000", "1", "1"], result.stderr

    def test_a_relative_path_to_sqlite_does_not_depend_on_where_one_stands(
        self, tmp_path: Path
    ) -> None:
        assert evaluate(
            "s.DATABASES['default']['NAME']", DATABASE_URL="sqlite:///my%20chats.db"
        ) == (str(BASE_DIR / "my chats.db"))
        absolute = f"sqlite:///{tmp_path}/db%25.sqlite3"
        assert evaluate("s.DATABASES['default']['NAME']", DATABASE_URL=absolute) == (
            f"{tmp_path}/db%.sqlite3"
        )

    def test_one_process_needs_no_redis(self) -> None:
        assert evaluate("s.CHANNEL_LAYERS['default']['BACKEND']").endswith("InMemoryChannelLayer")
        redis = evaluate("s.CHANNEL_LAYERS['default']", REDIS_URL="redis://cache:6379/1")
        assert redis.count("redis://cache:6379/1") == 1

    def test_secret_key_is_made_once(self) -> None:
        keys = {evaluate("s.SECRET_KEY") for _ in range(2)}
        assert len(keys) == 1
        assert len(keys.pop()) >= 50
        assert (BASE_DIR / "var" / "secret_key").stat().st_mode & 0o077 == 0
        assert evaluate("s.SECRET_KEY", SECRET_KEY=SECRET) == SECRET

    def test_sessions_of_an_earlier_key_go_on_with_it_among_the_fallbacks(
        self, tmp_path: Path
    ) -> None:
        url, old = f"sqlite:///{tmp_path}/db.sqlite3", "an earlier key of thirty-two characters"
        django = (
            "import django; django.setup(); from django.core.management import call_command;"
            "from django.contrib.sessions.backends.db import SessionStore;"
        )
        save = "call_command('migrate', verbosity=0); s = SessionStore(); s['x'] = 1; s.save();"
        made = run("-c", f"{django}{save}print(s.session_key)", DATABASE_URL=url, SECRET_KEY=old)
        load = f"{django}print(SessionStore({made.stdout.strip()!r}).get('x'))"
        keys = {"DATABASE_URL": url, "SECRET_KEY": SECRET}
        assert run("-c", load, **keys).stdout.strip() == "None"
        kept = run("-c", load, **keys, SECRET_KEY_FALLBACKS=f"{old}, {old}2")
        assert kept.stdout.strip() == "1", kept.stderr

    def test_postgres_connections_are_pooled(self) -> None:
        url = "postgres://u:p@db:5432/chatbot?sslmode=require"
        options = evaluate("s.DATABASES['default']['OPTIONS']", DATABASE_URL=url)
        assert "'sslmode': 'require'" in options
        assert "'pool'" in options


class TestProduction:
    def test_django_finds_nothing_to_warn_of(self) -> None:
        result = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
        assert result.returncode == 0, result.stderr

    def test_cookies_headers_and_hosts_follow_from_the_public_url(self) -> None:
        names = (
            "SESSION_COOKIE_SECURE",
            "CSRF_COOKIE_SECURE",
            "SECURE_SSL_REDIRECT",
            "SECURE_HSTS_SECONDS",
            "SECURE_HSTS_PRELOAD",
            "SECURE_PROXY_SSL_HEADER",
            "CSRF_TRUSTED_ORIGINS",
            "ALLOWED_HOSTS",
        )
        expression = ", ".join(f"getattr(s, {name!r}, None)" for name in names)
        assert evaluate(expression, **PRODUCTION) == (
            "True True True 2592000 None ('HTTP_X_FORWARDED_PROTO', 'https') "
            "['https://chat.example.org'] "
            "['localhost', '127.0.0.1', '[::1]', 'chat.example.org']"
        )
        assert evaluate(expression, PUBLIC_URL="http://chat.example.org").startswith(
            "False False False 0 None None"
        )

    def test_a_public_url_may_be_an_ipv6_address(self) -> None:
        hosts = evaluate("s.ALLOWED_HOSTS", PUBLIC_URL="http://[2001:db8::1]:8000")
        assert hosts == "['localhost', '127.0.0.1', '[::1]', '[2001:db8::1]']"

    def test_a_proxy_is_believed_only_if_there_is_one(self) -> None:
        expression = "s.ENV.trusted_proxies, getattr(s, 'SECURE_PROXY_SSL_HEADER', None)"
        assert evaluate(expression) == "0 None"
        assert evaluate(expression, CHATBOT_TRUSTED_PROXIES="0", **PRODUCTION) == "0 None"
        assert evaluate(expression, CHATBOT_TRUSTED_PROXIES="2").startswith("2 (")


class TestChecks:
    def ids(self, settings: Settings, *, deploy: bool = False, **changes: Any) -> set[str]:
        settings.ENV = settings.ENV.model_copy(update=changes)
        found = run_checks(tags=["security"], include_deployment_checks=deploy)
        return {each.id for each in found if each.id and each.id.startswith("conversations")}

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({}, set()),
            ({"public_url": "http://localhost:8000"}, set()),
            ({"public_url": "http://192.168.1.7:8000"}, set()),
            ({"public_url": "http://chat.example.org"}, {"conversations.W004"}),
            ({"public_url": "https://chat.example.org"}, {"conversations.W005"}),
            ({"public_url": "https://chat.example.org", "trusted_proxies": 1}, set()),
        ],
    )
    def test_a_public_site_is_looked_at_closely(
        self, settings: Settings, changes: dict[str, Any], expected: set[str]
    ) -> None:
        assert self.ids(settings, **changes) == expected

    def test_debug_in_public(self, settings: Settings) -> None:
        settings.DEBUG = True
        url = "https://chat.example.org"
        assert self.ids(settings, public_url=url, trusted_proxies=1) == {"conversations.W003"}
        assert self.ids(settings, public_url="") == set()

    def test_postgres_without_redis_is_a_hint_on_deployment(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        engine = "django.db.backends.postgresql"
        monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", engine)
        assert self.ids(settings, deploy=True) == {"conversations.I001"}
        assert self.ids(settings, deploy=True, redis_url="redis://cache") == set()
        assert self.ids(settings) == set()


class TestLogs:
    def test_a_line_has_utc_time_level_and_name(self) -> None:
        record = logging.LogRecord("a.b", logging.WARNING, "f", 1, "reply %s failed", (7,), None)
        line = LineFormatter().format(record)
        assert re.fullmatch(
            r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING a\.b: reply 7 failed", line
        )

    def test_rows_that_postgres_quotes_are_left_out(self) -> None:
        try:
            try:
                message = (
                    'new row violates check constraint "x"\n'
                    "DETAIL:  Failing row contains (1, call me on +15550100,\n\nplease)."
                )
                raise ValueError(message)
            except ValueError as error:
                raise RuntimeError("not saved") from error
        except RuntimeError:
            record = logging.LogRecord("a", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
        text = LineFormatter().format(record)
        assert "+15550100" not in text
        assert "please" not in text.replace("contains (1", "")
        assert 'new row violates check constraint "x"' in text
        assert text.endswith("RuntimeError: not saved")

    def test_a_fault_that_lasts_is_told_once_a_minute_with_how_often_it_came(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 1_000.0
        monkeypatch.setattr("chatbot_site.logs.time.monotonic", lambda: now)
        written = [line for _ in range(500) if (line := self.written("Redis is away"))]
        assert len(written) == 1
        assert "Traceback" in written[0]
        now += REPEAT_SECONDS
        again = self.written("Redis is away")
        assert "Redis is away" in again
        assert "and 499 times since" in again
        assert "Traceback" in again
        assert "times since" not in self.written("Something else")

    def test_where_only_ids_differ_each_line_is_written_its_traceback_once(self) -> None:
        first, second = (self.written("reply %s failed", number) for number in (1, 2))
        assert "reply 1 failed" in first
        assert "Traceback" in first
        assert second.endswith("reply 2 failed (OSError: no space)")
        assert "Traceback" not in second

    def test_what_is_no_fault_is_written_each_time(self) -> None:
        lines = [self.written("ready", level=logging.INFO) for _ in range(3)]
        assert all(lines)

    @pytest.fixture(autouse=True)
    def _repeats(self) -> None:
        self.repeats = Repeats()

    def written(self, message: str, *args: object, level: int = logging.ERROR) -> str:
        """What the log shows of a record with an exception; nothing where it is left out."""
        try:
            raise OSError("no space\nDETAIL:  Failing row contains (private).")
        except OSError:
            info = sys.exc_info()
        record = logging.LogRecord("a", level, "f", 1, message, args, info)
        return LineFormatter().format(record) if self.repeats.filter(record) else ""

    def test_nothing_is_mailed(self) -> None:
        loggers = [
            logging.getLogger(name) for name in ("django", "django.request", "django.security")
        ]
        assert not [handler for each in loggers for handler in each.handlers]
        assert all(each.propagate for each in loggers)

    def test_sql_with_its_values_is_never_logged(self) -> None:
        level = "logging.getLogger('django.db.backends').getEffectiveLevel()"
        code = f"import django, logging; django.setup(); print({level})"
        result = run(
            "-c",
            code,
            CHATBOT_LOG_LEVEL="DEBUG",
            DEBUG="1",
        )
        assert result.stdout.strip() == str(logging.INFO), result.stderr
