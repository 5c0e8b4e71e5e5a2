"""What can go wrong between a caller and the model. Each message is fit to be shown to a person."""

from __future__ import annotations


class EngineError(Exception):
    """Base of every error that the inference package raises on purpose."""


class EngineBusy(EngineError):
    """The waiting line is full.

    `position` is the place the request would have had (1 is next); `wait_seconds` is an estimate
    of the time until a place is free, or None while nothing has been measured yet.
    """

    def __init__(self, position: int, wait_seconds: float | None) -> None:
        super().__init__(f"The model is busy: {position - 1} requests are waiting already.")
        self.position = position
        self.wait_seconds = wait_seconds


class EngineStopped(EngineError):
    """The engine was closed, or its thread died, before the request was finished."""


class PromptTooLong(EngineError):
    """The prompt cannot be made to fit the model's context."""


class BundleError(EngineError):
    """A model bundle is missing, damaged or of a kind this program does not serve."""
