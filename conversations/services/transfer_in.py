"""Conversations in from a file of dialogues (the format is described in `transfer_out`)."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction

from conversations.models import Channel, Conversation, Message, Persona, Role
from conversations.services.persona_edits import MAX_LINE_LENGTH, MAX_LINES, persona_digest
from conversations.services.personas import persona_draft
from conversations.services.texts import text_clean, text_mask
from conversations.services.transfer_out import conversation_turns_masked
from conversations.services.unzipping import UNREADABLE, Stream, unzipped

BATCH = 200
# A conversation may be as long as people like, but of a line that does not begin like one no more
# is read: it may go on for a whole disk.
LOOKED_AT_BYTES = 4_000_000
# The shortest texts that masking puts these longer ones in place of.
_SHORTEST_MASKED = {"[email]": "a@b.c", "[link]": "a.io"}


class DialogueFileInvalid(ValueError):
    """A file that is not one of dialogues; the message names the file, the line and the mistake."""


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What a conversation is made of: the character's lines, and turns of which the person says
    the first."""

    lines: tuple[str, ...]
    turns: tuple[str, ...]

    @property
    def digests(self) -> set[bytes]:
        """What the same dialogue is known by, whether its texts have been masked or not."""
        turns = [text_mask(text=text) for text in self.turns]
        return _digests(self.lines, persona_digest(self.lines), turns)


@dataclass(frozen=True, slots=True)
class Imported:
    """How many conversations and characters were added, and how many were there before."""

    added: int = 0
    already_there: int = 0
    characters: int = 0

    def __add__(self, other: Imported) -> Imported:
        return Imported(
            self.added + other.added,
            self.already_there + other.already_there,
            self.characters + other.characters,
        )


def dialogues_read(*, path: Path) -> Iterator[Dialogue]:
    """The dialogues of a file of JSON lines, gzipped or not; empty lines are passed over.

    Raises DialogueFileInvalid.
    """
    number = 0
    try:
        with path.open("rb") as file, unzipped(file) as stream:
            for line in _lines(stream):
                number += 1
                if line.strip():
                    yield _parse(line)
    except _Mistake as mistake:
        raise DialogueFileInvalid(f"{path}, line {number}: {mistake}") from None
    except UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise DialogueFileInvalid(f"{path} cannot be read: {reason}") from error


def dialogues_known() -> set[bytes]:
    """Digests of all conversations there are."""
    known: set[bytes] = set()
    for conversation, turns in conversation_turns_masked(conversations=Conversation.objects.all()):
        persona = conversation.persona
        known |= _digests(persona.lines, persona.digest, turns)
    return known


def dialogues_import(*, dialogues: Iterable[Dialogue], known: set[bytes]) -> Iterator[Imported]:
    """Add the dialogues that are not `known` as conversations, giving an account of each batch.

    `known` grows by what is added. Characters that are not there yet come along switched off: they
    are there to be read, not to be met.
    """
    iterator = iter(dialogues)
    while batch := list(itertools.islice(iterator, BATCH)):
        new: list[Dialogue] = []
        for dialogue in batch:
            digests = dialogue.digests
            if known.isdisjoint(digests):
                new.append(dialogue)
                known |= digests
        with transaction.atomic():
            personas, created = _personas(new)
            _insert(new, personas)
        yield Imported(len(new), len(batch) - len(new), created)


def _digests(lines: Sequence[str], loaded: str, turns: Sequence[str]) -> set[bytes]:
    """Of the turns with the character's lines as they are, and with the digest of those that it was
    first loaded with: staff may have edited it since."""
    masked = [text_mask(text=line) for line in lines]
    return {
        hashlib.sha256(json.dumps([character, turns]).encode()).digest()
        for character in (masked, loaded)
    }


def _insert(dialogues: Sequence[Dialogue], personas: dict[str, Persona]) -> None:
    conversations = Conversation.objects.bulk_create(
        Conversation(persona=personas[persona_digest(dialogue.lines)], channel=Channel.IMPORT)
        for dialogue in dialogues
    )
    # The order of the ids is the order of the conversation, so that both sides are made together
    # and replies learn afterwards which message they answer.
    messages = Message.objects.bulk_create(
        (
            Message(
                conversation=conversation,
                role=Role.BOT if place % 2 else Role.USER,
                text=text,
                created_at=conversation.created_at,
                finished_at=conversation.created_at,
            )
            for conversation, dialogue in zip(conversations, dialogues, strict=True)
            for place, text in enumerate(dialogue.turns)
        ),
        batch_size=1000,
    )
    replies = []
    for message, reply in itertools.pairwise(messages):
        if reply.role == Role.BOT:
            reply.reply_to = message
            replies.append(reply)
    Message.objects.bulk_update(replies, ["reply_to"], batch_size=1000)


def _personas(dialogues: Sequence[Dialogue]) -> tuple[dict[str, Persona], int]:
    """The characters of the dialogues by their digests, and how many had to be made."""
    wanted = {persona_digest(dialogue.lines): dialogue.lines for dialogue in dialogues}
    found = {persona.digest: persona for persona in Persona.objects.filter(digest__in=wanted)}
    drafts = [
        persona_draft(lines=list(lines), source=str(Channel.IMPORT))
        for digest, lines in wanted.items()
        if digest not in found
    ]
    for draft in drafts:
        draft.is_active = False
    made = Persona.objects.bulk_create(drafts)
    return found | {persona.digest: persona for persona in made}, len(made)


class _Mistake(ValueError):
    """What is wrong with a line."""


def _lines(stream: Stream) -> Iterator[bytes]:
    while line := stream.readline(LOOKED_AT_BYTES):
        if line.lstrip().startswith(b"{") and not line.endswith(b"\n"):
            line += stream.readline()
        yield line


def _parse(line: bytes) -> Dialogue:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _Mistake(f"not JSON ({error})") from None
    if not isinstance(value, dict):
        raise _Mistake("not an object with personas and turns")
    personas = value.get("personas")
    if not isinstance(personas, list) or len(personas) != 2:
        raise _Mistake('"personas" must hold two lists of lines, one for each speaker')
    _texts(personas[0], "personas[0]")
    lines = _texts(personas[1], "personas[1]")
    if len(lines) > MAX_LINES or any(map(_is_too_long, lines)):
        raise _Mistake(
            f"personas[1] may have {MAX_LINES} lines of at most {MAX_LINE_LENGTH} characters"
        )
    turns = _texts(value.get("turns"), "turns")
    if not turns:
        raise _Mistake('"turns" is empty')
    return Dialogue(lines, turns)


def _is_too_long(line: str) -> bool:
    """Whether a character's line was too long even before it was masked."""
    for mask, shortest in _SHORTEST_MASKED.items():
        line = line.replace(mask, shortest)
    return len(line) > MAX_LINE_LENGTH


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _Mistake(f'"{name}" must be a list of texts')
    for place, text in enumerate(value):
        if not isinstance(text, str):
            raise _Mistake(f'"{name}" has something other than a text at place {place}')
    texts = tuple(text_clean(text=text) for text in value)
    for place, text in enumerate(texts):
        if not text.strip():
            raise _Mistake(f'"{name}" has an empty text at place {place}')
    return texts
