"""What a service refuses, in words for the person who asked.

Every door (websocket, REST, SMS, terminal) shows `detail` and passes `code` on; the codes are those
of the websocket protocol.
"""

from __future__ import annotations

from http import HTTPStatus

_STATUS_OF_CODE = {
    "not_found": HTTPStatus.NOT_FOUND,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "busy": HTTPStatus.SERVICE_UNAVAILABLE,
    "engine_unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}


class ServiceError(Exception):
    """A request that was not carried out; nothing was saved.

    `retry_after` is the number of seconds after which it is worth trying again, None when trying
    again changes nothing.
    """

    def __init__(self, code: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after

    @property
    def status(self) -> HTTPStatus:
        """What HTTP calls it. Where there is no word for it, it is the request's mistake."""
        return _STATUS_OF_CODE.get(self.code, HTTPStatus.BAD_REQUEST)


def retry_header(seconds: float) -> str:
    """What `Retry-After` says for so many seconds: whole ones, and never none."""
    return str(max(1, round(seconds)))


class MessageInvalid(ServiceError):
    """The text cannot be sent as it is: code `invalid` or `too_long`."""


class MessageDiffers(ServiceError):
    """The client's id stands for a message with another text already: code `invalid`."""

    status = HTTPStatus.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            "invalid",
            "This key has been used for a message with another text. Nothing was sent; what is "
            "new takes a new key.",
        )


class ConversationInvalid(ServiceError):
    """A title that cannot be kept: code `invalid` or `too_long`."""


class ConversationGone(ServiceError):
    """The conversation does not exist, or no longer does: code `not_found`."""

    def __init__(self) -> None:
        super().__init__("not_found", "This conversation no longer exists.")


class NoCharacter(ServiceError):
    """There is no active character to talk to: code `engine_unavailable`."""

    def __init__(self) -> None:
        super().__init__(
            "engine_unavailable",
            "There is no character to talk to yet. Whoever runs this site can load some with "
            "`manage.py load_personas`, or switch some on in the admin.",
        )


class RateLimited(ServiceError):
    """Too many requests from one person or one address: code `rate_limited`."""

    def __init__(self, detail: str, *, retry_after: float) -> None:
        super().__init__("rate_limited", detail, retry_after=retry_after)


class StorageUnavailable(ServiceError):
    """The database takes no writes just now (full, read-only, locked): code `busy`."""

    def __init__(self) -> None:
        super().__init__(
            "busy",
            "This could not be saved, because the server's storage is not accepting anything "
            "right now. Please try again in a moment.",
            retry_after=5,
        )


class StorageAway(ServiceError):
    """The database cannot be asked just now, whatever it was asked for: code `busy`."""

    def __init__(self) -> None:
        super().__init__(
            "busy",
            "This could not be done, because the server's storage is not available right now. "
            "Please try again in a moment.",
            retry_after=5,
        )
