"""Django's settings, derived from the environment (`env.py`). An empty environment works."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url
from csp.constants import NONE, SELF

from chatbot_site.env import VAR_DIR, Env, make_var_dir, read_env
from chatbot_site.local_key import local_secret_key

ENV = read_env()
UNKNOWN_SETTINGS = Env.unknown_names()

DEBUG = ENV.debug
SECRET_KEY = ENV.secret_key or local_secret_key()
SECRET_KEY_FALLBACKS = ENV.secret_key_fallbacks
PUBLIC_URL = ENV.public_url
_public_host = urlsplit(PUBLIC_URL).hostname
if _public_host and ":" in _public_host:  # an IPv6 address
    _public_host = f"[{_public_host}]"
ALLOWED_HOSTS = ENV.allowed_hosts or ["localhost", "127.0.0.1", "[::1]"]
if _public_host and _public_host not in ALLOWED_HOSTS:
    ALLOWED_HOSTS = [*ALLOWED_HOSTS, _public_host]
CSRF_TRUSTED_ORIGINS = ENV.csrf_trusted_origins or ([PUBLIC_URL] if PUBLIC_URL else [])

INSTALLED_APPS = [
    "daphne",
    "chatbot_site.apps.ChatAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic",
    "django.contrib.staticfiles",
    "channels",
    "csp",
    "rest_framework",
    "rest_framework.authtoken",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "conversations",
    "sms",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "chatbot_site.handler.static_files",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "chatbot_site.urls"
ASGI_APPLICATION = "chatbot_site.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Data
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES: dict[str, Any] = {"default": dj_database_url.parse(ENV.database_url)}
options = DATABASES["default"].setdefault("OPTIONS", {})
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    make_var_dir()
    # Write-ahead logging lets readers go on beside the writer; an immediate transaction takes the
    # write lock at once and waits for it, where a deferred one fails when it comes to write.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": (
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-8000;"
        ),
        **options,
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    options.setdefault("connect_timeout", 5)
    if Path(sys.argv[0]).name != "manage.py":
        # A request runs in a thread of its own here, so a connection kept by its thread would never
        # be used again; a pool shares connections between threads. Commands want none: a pool goes
        # on trying where they should say at once why they cannot connect.
        options["pool"] = {"min_size": 1, "max_size": 20, "timeout": 10}

if ENV.redis_url:
    CHANNEL_LAYERS: dict[str, Any] = {
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            # Listening waits 5 s for a message; the client's own limit is as long, and an error.
            "CONFIG": {
                "hosts": [{"address": ENV.redis_url, "socket_timeout": 20}],
                "capacity": 1000,
            },
        }
    }
else:
    CHANNEL_LAYERS = {
        "default": {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1000}}
    }

# People
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
LOGIN_URL = "sign-in"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "conversation-list"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 365
SESSION_COOKIE_SAMESITE = "Lax"
LANGUAGE_CODE = "en"
TIME_ZONE = ENV.time_zone
USE_TZ = True

# Static files
STATIC_URL = "static/"
STATIC_ROOT = VAR_DIR / "static"
SERVESTATIC_USE_FINDERS = DEBUG
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "chatbot_site.static_files.StaticFilesStorage"
    },
}

# Security
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = ENV.https
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = ENV.https
SECURE_HSTS_SECONDS = ENV.hsts_seconds if ENV.https else 0
# Whether every other host under this domain is on HTTPS too, and for good, is not for this site to
# say; without that promise Django's two hints to make it are noise.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if ENV.trusted_proxies:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000_000
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        # Older Safari does not take 'self' to cover websockets.
        "connect-src": [SELF, *([PUBLIC_URL.replace("http", "ws", 1)] if PUBLIC_URL else [])],
    }
}

# The REST API
REST_FRAMEWORK: dict[str, Any] = {
    # The first one's challenge is what an anonymous request is answered with: 401, not 403.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "conversations.api.authentication.BearerOrToken",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_THROTTLE_CLASSES": ["conversations.api.throttling.ApiThrottle"],
    "DEFAULT_METADATA_CLASS": None,  # the schema tells what OPTIONS would
    "URL_FORMAT_OVERRIDE": None,
    "EXCEPTION_HANDLER": "conversations.api.errors.error_response",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Persona chatbot",
    "DESCRIPTION": "Talk to characters played by a small language model.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PUBLIC": True,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "conversations.api.schema.add_errors",
    ],
    "APPEND_COMPONENTS": {
        "schemas": {
            "Error": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "code": {"type": "string"},
                    "detail": {"type": "string", "description": "For a person to read."},
                    "fields": {
                        "type": "object",
                        "additionalProperties": {"type": "array", "items": {"type": "string"}},
                        "description": "What is wrong with each field.",
                    },
                },
            }
        }
    },
}

# Everything goes to standard error and to nobody's mailbox.
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "chatbot_site.logs.LineFormatter"}},
    "filters": {"repeats": {"()": "chatbot_site.logs.Repeats"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "formatter": "line",
            "filters": ["repeats"],
        }
    },
    "root": {"handlers": ["console"], "level": ENV.log_level},
    "loggers": {
        # Takes away the handlers that Django gives it, one of which mails whole requests.
        "django": {"level": ENV.log_level},
        # One line for each request and frame is the proxy's business.
        "django.channels.server": {"level": "WARNING"},
        "daphne": {"level": "WARNING"},
        # These write parameters and request bodies at lower levels.
        "django.db.backends": {"level": "INFO"},
        # Writes what a template is given.
        "django.template": {"level": "INFO"},
        "twilio": {"level": "WARNING"},
        "urllib3": {"level": "INFO"},
    },
}
