"""Words that are not for the character: our commands, and those of the carrier's opt-out."""

from __future__ import annotations

import re
from typing import Literal

Command = Literal["reset", "who", "help", "unknown"]
OptOut = Literal["STOP", "START", "HELP"]

# Twilio's default words: a text of just this word, in any case.
# https://help.twilio.com/articles/223134027
_STOP = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"})
_START = frozenset({"start", "unstop"})
_HELP = frozenset({"help", "info"})
_COMMAND = re.compile(r"/\s*(\w+)[\s.!?]*")


def command_of(body: str) -> Command | None:
    """The command a text is, whatever its case and the spaces around; `unknown` for another single
    word after a slash; None for anything else."""
    match = _COMMAND.fullmatch(body.strip())
    if match is None:
        return None
    word = match[1].casefold()
    if word == "reset" or word == "who" or word == "help":
        return word  # type: ignore[return-value]
    return "unknown"


def opt_out_of(body: str, opt_out_type: str, *, opted_out: bool) -> OptOut | None:
    """Which of the carrier's words a text is.

    `OptOutType` is Twilio's own answer, where a Messaging Service has Advanced Opt-Out. YES opts
    in again only somebody who is out; for everybody else it is a word like any other.
    """
    given = opt_out_type.strip().upper()
    if given == "STOP" or given == "START" or given == "HELP":
        return given  # type: ignore[return-value]
    word = body.strip().casefold()
    if word in _STOP:
        return "STOP"
    if word in _START or (opted_out and word == "yes"):
        return "START"
    return "HELP" if word in _HELP else None
