"""One shape for everything that goes wrong: `{"code", "detail", "fields"?}`.

The codes of refused work are those of the websocket protocol.
"""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import Error as DatabaseError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import set_rollback

from conversations.services.errors import ServiceError, StorageAway, retry_header

logger = logging.getLogger(__name__)

# Where the framework's name for a mistake differs from the protocol's.
_CODES = {"parse_error": "bad_json", "permission_denied": "forbidden"}


def error_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """The framework's exception handler: an error as a response, None for one of ours.

    The last is logged by Django and answered with status 500.
    """
    if isinstance(error, DatabaseError):
        logger.error("%s: the database failed", _view_name(context), exc_info=error)
        error = StorageAway()
    wait = None
    match error:
        case ServiceError():
            response = Response({"code": error.code, "detail": error.detail}, status=error.status)
            wait = error.retry_after
        case RequestDataTooBig():
            limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            detail = f"The body of a request may have {limit:,} bytes."
            response = Response({"code": "too_long", "detail": detail}, status=413)
        case Http404():
            return error_response(exceptions.NotFound(), context)
        case PermissionDenied():
            return error_response(exceptions.PermissionDenied(), context)
        case exceptions.APIException():
            response = Response(_body(error), status=error.status_code)
            if header := getattr(error, "auth_header", None):
                response["WWW-Authenticate"] = header
        case _:
            return None
    # Errors are JSON also where an event stream was asked for.
    request = context["request"]
    request.accepted_renderer, request.accepted_media_type = JSONRenderer(), "application/json"
    if wait is not None:
        response["Retry-After"] = retry_header(wait)
    set_rollback()
    return response


def _body(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        fields = error.detail if isinstance(error.detail, dict) else {"": error.detail}
        shown = {name: [str(one) for one in _flat(reasons)] for name, reasons in fields.items()}
        first, reasons = next(iter(shown.items()))
        detail = f"{first}: {reasons[0]}" if first else reasons[0]
        return {"code": "invalid", "detail": detail, "fields": shown}
    code = str(error.get_codes())
    return {"code": _CODES.get(code, code), "detail": str(error.detail)}


def _flat(reasons: Any) -> list[Any]:
    if isinstance(reasons, dict):
        reasons = list(reasons.values())
    if isinstance(reasons, list):
        return [one for reason in reasons for one in _flat(reason)]
    return [reasons]


def _view_name(context: dict[str, Any]) -> str:
    return type(context.get("view")).__name__
