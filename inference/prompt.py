"""The one renderer of prompts: a persona and turns become token ids. Training uses it too.

Layout, version 1, each `<…>` one special token and every text tokenised on its own:

    <end> <persona> line line line <person> text <bot> text <person> text <bot>

The model answers after the last `<bot>` and ends its turn with `<person>`. Text never encodes to a
special token, whatever it says. Turns of one side in a row are one turn; a turn that says nothing
is left out, unless it is the last.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import TYPE_CHECKING, Literal

from inference.bundle import Bundle, SpecialTokens
from inference.errors import BundleError, PromptTooLong

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Speaker = Literal["person", "bot"]
Tokens = Sequence[int]

VERSION = 1
OPTIONS = frozenset({"lowercase", "window"})
# A long persona may widen the window until so much is left for the conversation …
MIN_ROOM = 64
# … and is refused when not even this is left in the whole context.
MIN_TURN_TOKENS = 16
# Turns of its own that a character should not say again.
OWN_TURNS = 16
# No token of a vocabulary in use is longer than this many characters on average.
_LONGEST_TOKEN = 16
_CACHED_TEXTS, _CACHED_LENGTH = 4096, 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SPACE_BEFORE_PUNCTUATION = re.compile(r" ([.,!?;:]+)(?= |$)")
_CURLY = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said."""

    speaker: Speaker
    text: str


def straight(text: str) -> str:
    """With plain quotes and apostrophes instead of curly ones."""
    return text.translate(_CURLY)


def tidy(text: str) -> str:
    """One line, plain quotes, no space before punctuation."""
    text = _CONTROL.sub(" ", straight(unicodedata.normalize("NFC", text)))
    return _SPACE_BEFORE_PUNCTUATION.sub(r"\1", " ".join(text.split()))


def texts_of(speaker: Speaker, turns: Iterable[Turn]) -> list[str]:
    """What one side said."""
    return [turn.text for turn in turns if turn.speaker == speaker]


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids to answer to.

    `own_turns` are the character's last turns, each with its mark, the newest last;
    `dropped_turns` is the number of oldest turns that did not fit, `reply_room` the number of
    tokens that a reply may have.
    """

    ids: tuple[int, ...]
    own_turns: tuple[tuple[int, ...], ...] = ()
    dropped_turns: int = 0
    reply_room: int = 0


@dataclass(frozen=True, slots=True)
class _Piece:
    """A rendered turn: its mark and its text, and how many turns it was made of."""

    is_bot: bool
    ids: tuple[int, ...]
    turns: int


class PromptRenderer:
    """Renders for one tokenizer.

    `n_ctx` is the number of positions of the model, `window` the number of them that a conversation
    should use, reply included: a model trained on short texts loses its way beyond their length.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        special_tokens: SpecialTokens,
        *,
        n_ctx: int = 1024,
        lowercase: bool = True,
        window: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        # Text that looks like a special token is encoded as the text it is.
        self.tokenizer.encode_special_tokens = True
        self.special_tokens = special_tokens
        self._special_ids = frozenset(
            (special_tokens.persona, special_tokens.person, special_tokens.bot, special_tokens.end)
        )
        self._n_ctx = n_ctx
        self.window = min(n_ctx, window or n_ctx)
        self.lowercase = lowercase
        self._encode_cached = lru_cache(_CACHED_TEXTS)(self._encode_text)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> PromptRenderer:
        """Raises BundleError when the bundle's tokenizer or layout is of another kind."""
        from tokenizers import Tokenizer

        lowercase, window = _options(bundle)
        try:
            tokenizer = Tokenizer.from_file(str(bundle.tokenizer_path))
        except Exception as error:
            raise BundleError(f"{bundle.tokenizer_path}: not a tokenizer ({error}).") from error
        return cls(
            tokenizer,
            bundle.special_tokens,
            n_ctx=bundle.n_ctx,
            lowercase=lowercase,
            window=window,
        )

    def render(self, persona: Sequence[str], turns: Sequence[Turn], *, reserve: int) -> Prompt:
        """The prompt of the character's next turn, with `reserve` positions left for it.

        When not everything fits, the persona and the most recent turns stay. Older turns go a
        quarter of the window at a time, so that the start of the prompt, and with it the cached
        keys and values, stays the same for several turns; for that `turns` has to begin where the
        conversation does. Of a turn that would take nearly all the room the end stays. Raises
        PromptTooLong when the persona leaves no room for a turn.
        """
        head = self._head([self.encode(line) for line in persona])
        reserve = min(reserve, self.window // 2)
        widest = self._n_ctx - reserve - len(head) - 1
        if widest < MIN_TURN_TOKENS:
            raise PromptTooLong(
                f"The character's description is {len(head)} tokens long, which leaves no room "
                f"for a conversation in the model's {self._n_ctx}. Shorten it."
            )
        room = min(widest, max(MIN_ROOM, self.window - reserve - len(head) - 1))
        spoken = [(turn.speaker, self.encode(turn.text)) for turn in turns]
        pieces = self._pieces(spoken, longest=room * 3 // 4)
        first = _first_kept(pieces, room, step=max(1, self.window // 4))
        ids = [*head, *(token for piece in pieces[first:] for token in piece.ids)]
        ids.append(self.special_tokens.bot)
        own = [piece.ids for piece in pieces if piece.is_bot]
        return Prompt(
            ids=tuple(ids),
            own_turns=tuple(own[-OWN_TURNS:]),
            dropped_turns=sum(piece.turns for piece in pieces[:first]),
            reply_room=max(reserve, self.window - len(ids)),
        )

    def render_dialogue(
        self, persona: Sequence[str], turns: Sequence[Turn]
    ) -> tuple[list[int], list[bool]]:
        """A whole dialogue for training: ids, and for each whether it is to be learnt.

        Learnt are the character's texts and the token that ends each of its turns. Nothing is cut.
        """
        spoken = [(turn.speaker, self.encode(turn.text)) for turn in turns]
        return self.render_tokens([self.encode(line) for line in persona], spoken)

    def render_tokens(
        self, persona: Sequence[Tokens], turns: Sequence[tuple[Speaker, Tokens]]
    ) -> tuple[list[int], list[bool]]:
        """What `render_dialogue` gives, of texts that are encoded already."""
        ids = self._head(persona)
        mask = [False] * len(ids)
        after_bot = False
        for piece in self._pieces(turns):
            ids += piece.ids
            mask += [after_bot and not piece.is_bot] + [piece.is_bot] * (len(piece.ids) - 1)
            after_bot = piece.is_bot
        ids.append(self.special_tokens.person if after_bot else self.special_tokens.end)
        mask.append(after_bot)
        return ids, mask

    def encode(self, text: str) -> Tokens:
        """The token ids of a persona line or of a turn, none of them special."""
        if len(text) <= _CACHED_LENGTH:
            return self._encode_cached(text)
        # What no prompt can hold need not be looked at; its end counts.
        return self._encode_text(text.rstrip()[-_LONGEST_TOKEN * self._n_ctx :])

    def head_length(self, persona: Sequence[Tokens]) -> int:
        """How many tokens stand before the mark of the first turn."""
        return len(self._head(persona))

    def normalize(self, text: str) -> str:
        """Text as the model has seen text: tidy, and in lower case where it knows no other."""
        text = tidy(text)
        return text.lower() if self.lowercase else text

    def _head(self, persona: Sequence[Tokens]) -> list[int]:
        lines = (token for line in persona for token in line)
        return [self.special_tokens.end, self.special_tokens.persona, *lines]

    def _pieces(
        self, turns: Sequence[tuple[Speaker, Tokens]], *, longest: int | None = None
    ) -> list[_Piece]:
        said = [
            (speaker, ids)
            for place, (speaker, ids) in enumerate(turns, start=1)
            if len(ids) or place == len(turns)
        ]
        return [
            self._piece(speaker, [ids for _, ids in group], longest)
            for speaker, group in groupby(said, key=lambda turn: turn[0])
        ]

    def _piece(self, speaker: Speaker, texts: Sequence[Tokens], longest: int | None) -> _Piece:
        is_bot = speaker == "bot"
        mark = self.special_tokens.bot if is_bot else self.special_tokens.person
        ids = tuple(token for text in texts for token in text)
        if longest is not None and len(ids) >= longest:
            ids = ids[len(ids) - longest + 1 :]
        return _Piece(is_bot, (mark, *ids), len(texts))

    def _encode_text(self, text: str) -> tuple[int, ...]:
        text = self.normalize(text)
        # A leading space: the first word is the same token as within a sentence.
        ids = self.tokenizer.encode(f" {text}", add_special_tokens=False).ids if text else []
        # Belt and braces: a tokenizer with other rules must not open this door either.
        return tuple(token for token in ids if token not in self._special_ids)


def _first_kept(pieces: Sequence[_Piece], room: int, *, step: int) -> int:
    """Index of the first turn to keep: a person's, or the last one there is.

    What is cut off is a multiple of `step` tokens, rounded up to whole turns, counted from the
    start: the same cut serves until another `step` is needed.
    """
    surplus = sum(len(piece.ids) for piece in pieces) - room
    if surplus <= 0:
        return 0
    target = -(-surplus // step) * step
    cut = 0
    for index, piece in enumerate(pieces):
        if cut >= target and not piece.is_bot:
            return index
        cut += len(piece.ids)
    return len(pieces) - 1


def _options(bundle: Bundle) -> tuple[bool, int | None]:
    """The bundle's `lowercase` and `window`; BundleError for what this program cannot render."""
    version, options = bundle.prompt.version, bundle.prompt.options
    if version != VERSION:
        raise BundleError(
            f"{bundle.path}: prompt version {version} was asked for; "
            f"this program renders version {VERSION}."
        )
    for name in sorted(set(options) - OPTIONS):
        raise BundleError(f"{bundle.path}: prompt.options: {name} is not known to this program.")
    lowercase, window = options.get("lowercase", False), options.get("window")
    if not isinstance(lowercase, bool):
        raise BundleError(f"{bundle.path}: prompt.options.lowercase: must be true or false.")
    whole = isinstance(window, int) and not isinstance(window, bool)
    if window is not None and not (whole and MIN_ROOM <= window <= bundle.n_ctx):
        raise BundleError(
            f"{bundle.path}: prompt.options.window: must be a whole number from {MIN_ROOM} "
            f"to n_ctx, not {window!r}."
        )
    return lowercase, window
