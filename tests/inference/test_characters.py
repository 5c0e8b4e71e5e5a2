"""Characters of several tokens: a reply of these begins, ends and is cut like any other."""

from __future__ import annotations

from functools import partial

import pytest

from inference.bundle import Bundle
from inference.engine import Engine
from inference.events import Finished
from inference.params import EngineConfig, SamplingParams
from inference.prompt import PromptRenderer, Turn
from inference.vocabulary import Vocabulary
from tests.inference.conftest import DEFAULT_BUNDLE, PERSONA
from tests.inference.history_runner import HistoryRunner

# Neither text, which would show something, nor what the runner wants.
_FILLERS = range(150, 220)


class Reciting(HistoryRunner):
    """Says `ids` and wants nothing then but to end, or else to say a whole `word`."""

    def __init__(
        self, bundle: Bundle, *, slots: int, threads: int, ids: list[int], word: int
    ) -> None:
        super().__init__(bundle, slots=slots, threads=threads)
        self._bot, self._ids, self._word = bundle.special_tokens.bot, ids, word

    def _candidates(self, history: tuple[int, ...]) -> list[int]:
        said = history[::-1].index(self._bot)
        wanted = self._ids[said] if said < len(self._ids) else self._stop
        others = [self._word, *_FILLERS]
        return [wanted, *(token for token in others if token != wanted)][: self.top_k]


async def recite(
    renderer: PromptRenderer, ids: list[int], *, max_tokens: int
) -> tuple[str, Finished]:
    [word] = renderer.tokenizer.encode(" well", add_special_tokens=False).ids
    engine = Engine(
        EngineConfig(DEFAULT_BUNDLE, max_batch=2),
        runner_factory=partial(Reciting, ids=ids, word=word),
    )
    params = SamplingParams(max_tokens=max_tokens, temperature=0, repetition_penalty=1)
    try:
        return await engine.answer(PERSONA, [Turn("person", "Hi!")], params)
    finally:
        engine.close()


def bytes_of(renderer: PromptRenderer, text: str) -> list[int]:
    """The tokens of a text, none of which is a whole character."""
    pieces = Vocabulary.of(renderer.tokenizer).pieces
    ids = renderer.tokenizer.encode(text, add_special_tokens=False).ids
    return [token for token in ids if isinstance(pieces[token], bytes)]


@pytest.mark.parametrize("text", ["🙂", "Ж", "你好", "مرحبا"])
async def test_a_reply_of_nothing_else_ends(renderer: PromptRenderer, text: str) -> None:
    ids = bytes_of(renderer, text)
    said, finished = await recite(renderer, ids, max_tokens=40)
    assert (said, finished.reason, finished.completion_tokens) == (text, "end", len(ids))


async def test_its_limit_holds(renderer: PromptRenderer) -> None:
    ids = bytes_of(renderer, "你好" * 20)
    said, finished = await recite(renderer, ids, max_tokens=8)
    assert (said, finished.reason, finished.completion_tokens) == ("你好", "length", 8)


async def test_half_a_character_shows_nothing_yet(renderer: PromptRenderer) -> None:
    half = bytes_of(renderer, "🙂")[:2]
    said, finished = await recite(renderer, half, max_tokens=40)
    assert (said, finished.reason, finished.completion_tokens) == ("Well", "end", 3)
    said, finished = await recite(renderer, half, max_tokens=2)
    assert (said, finished.reason, finished.completion_tokens) == ("Well", "length", 3)
