"""The one renderer of prompts: a persona and turns become token ids. Training uses it too.

Layout, version 1, each `<…>` one special token and every text tokenised on its own:

    <end> <persona> line line line <person> text <bot> text <person> text <bot>

The model answers after the last `<bot>` and ends its turn with `<person>`. Text never encodes to a
special token, whatever it says.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from inference.bundle import Bundle, SpecialTokens
from inference.errors import BundleError, PromptTooLong

if TYPE_CHECKING:
    from tokenizers import Tokenizer

VERSION = 1
# The least that must be left for what was said last, or the character could not answer it.
MIN_TURN_TOKENS = 16
_SPACE_BEFORE_PUNCTUATION = re.compile(r"\s+([.,!?;:]+)(?=\s|$)")
_CURLY = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"'})


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said."""

    speaker: Literal["person", "bot"]
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids to answer to. `bot_ids` are those of the character's own last turns;
    `dropped_turns` the number of oldest turns that did not fit."""

    ids: tuple[int, ...]
    bot_ids: tuple[int, ...] = ()
    dropped_turns: int = 0


class PromptRenderer:
    """Renders for one tokenizer. `n_ctx` is the number of positions of the model."""

    # Turns of its own that a character should not say again.
    RECENT_BOT_TURNS = 3

    def __init__(
        self,
        tokenizer: Tokenizer,
        special_tokens: SpecialTokens,
        *,
        n_ctx: int = 1024,
        lowercase: bool = True,
    ) -> None:
        self.tokenizer = tokenizer
        # Text that looks like a special token is encoded as the text it is.
        self.tokenizer.encode_special_tokens = True
        self._special = special_tokens
        self._special_ids = frozenset(
            (special_tokens.persona, special_tokens.person, special_tokens.bot, special_tokens.end)
        )
        self._n_ctx = n_ctx
        self.lowercase = lowercase
        self._encode = lru_cache(maxsize=8192)(self._encode_text)

    @classmethod
    def from_bundle(cls, bundle: Bundle) -> PromptRenderer:
        """Raises BundleError when the bundle's tokenizer or layout is of another kind."""
        from tokenizers import Tokenizer

        if bundle.prompt.version != VERSION:
            raise BundleError(
                f"{bundle.path}: prompt version {bundle.prompt.version} was asked for; "
                f"this program renders version {VERSION}."
            )
        try:
            tokenizer = Tokenizer.from_file(str(bundle.tokenizer_path))
        except Exception as error:
            raise BundleError(f"{bundle.tokenizer_path}: not a tokenizer ({error}).") from error
        return cls(
            tokenizer,
            bundle.special_tokens,
            n_ctx=bundle.n_ctx,
            lowercase=bool(bundle.prompt.options.get("lowercase", False)),
        )

    def render(self, persona: Sequence[str], turns: Sequence[Turn], *, reserve: int) -> Prompt:
        """The prompt of the character's next turn, with `reserve` positions left for it.

        When not everything fits, the persona and the most recent turns stay. Older turns go a
        quarter of the context at a time, so that the start of the prompt, and with it the cached
        keys and values, stays the same for several turns. Of a last turn that is too long the end
        stays. Raises PromptTooLong when the persona leaves no room for a turn.
        """
        head = self._head(persona)
        room = self._n_ctx - min(reserve, self._n_ctx // 2) - len(head) - 1
        if room < MIN_TURN_TOKENS:
            raise PromptTooLong(
                f"The character's description is {len(head)} tokens long, which leaves no room "
                f"for a conversation in the model's {self._n_ctx}. Shorten it."
            )
        pieces = [self._turn(turn) for turn in turns]
        dropped = _first_kept([len(piece) for piece in pieces], room, step=self._n_ctx // 4)
        kept = pieces[dropped:]
        if len(kept) == 1 and len(kept[0]) > room:
            kept = [kept[0][:1] + kept[0][len(kept[0]) - room + 1 :]]
        ids = [*head, *(token for piece in kept for token in piece), self._special.bot]
        own = [piece for piece, turn in zip(pieces, turns, strict=True) if turn.speaker == "bot"]
        recent = tuple(token for piece in own[-self.RECENT_BOT_TURNS :] for token in piece[1:])
        return Prompt(tuple(ids), recent, dropped)

    def render_dialogue(
        self, persona: Sequence[str], turns: Sequence[Turn]
    ) -> tuple[list[int], list[bool]]:
        """A whole dialogue for training: ids, and for each whether it is to be learnt.

        Learnt are the character's texts and the token that ends each of its turns. Nothing is cut.
        """
        ids = self._head(persona)
        mask = [False] * len(ids)
        after_bot = False
        for turn in turns:
            piece = self._turn(turn)
            is_bot = turn.speaker == "bot"
            ids += piece
            mask += [after_bot and not is_bot] + [is_bot] * (len(piece) - 1)
            after_bot = is_bot
        ids.append(self._special.person if after_bot else self._special.end)
        mask.append(after_bot)
        return ids, mask

    def normalize(self, text: str) -> str:
        """Text as the model has seen text: one line, plain quotes, no space before punctuation."""
        text = unicodedata.normalize("NFC", text).translate(_CURLY)
        text = " ".join(
            "".join(" " if unicodedata.category(c) in {"Cc", "Cs"} else c for c in text).split()
        )
        text = _SPACE_BEFORE_PUNCTUATION.sub(r"\1", text)
        return text.lower() if self.lowercase else text

    def _head(self, persona: Sequence[str]) -> list[int]:
        return [
            self._special.end,
            self._special.persona,
            *(token for line in persona for token in self._encode(line)),
        ]

    def _turn(self, turn: Turn) -> tuple[int, ...]:
        speaker = self._special.bot if turn.speaker == "bot" else self._special.person
        return (speaker, *self._encode(turn.text))

    def _encode_text(self, text: str) -> tuple[int, ...]:
        # A leading space: the first word is the same token as within a sentence.
        ids = self.tokenizer.encode(" " + self.normalize(text), add_special_tokens=False).ids
        # Belt and braces: a tokenizer with other rules must not open this door either.
        return tuple(token for token in ids if token not in self._special_ids)


def _first_kept(lengths: Sequence[int], room: int, *, step: int) -> int:
    """Index of the first turn to keep; the last one always is.

    What is cut off is a multiple of `step` tokens, rounded up to whole turns, counted from the
    start: the same cut serves until another `step` is needed.
    """
    surplus = sum(lengths) - room
    if surplus <= 0 or not lengths:
        return 0
    target = -(-surplus // step) * step
    cut = 0
    for index, length in enumerate(lengths):
        if cut >= target:
            return index
        cut += length
    return len(lengths) - 1
