"""Replies of a bundle, many at a time, through the engine that serves it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tqdm import tqdm

from inference.engine import Engine
from inference.params import SamplingParams
from inference.prompt import Turn


@dataclass(frozen=True, slots=True)
class Ask:
    """A persona and what has been said; the bot speaks next."""

    persona: Sequence[str]
    turns: Sequence[Turn]


@dataclass(slots=True)
class Answers:
    """Replies in the order of the questions; tokens per second over all of them."""

    texts: list[str]
    tokens_per_second: float


def answer_all(engine: Engine, asks: Sequence[Ask], params: SamplingParams) -> Answers:
    """Answer everything, as many at a time as the engine has slots.

    Each reply has a seed of its own, counted from that of `params`, so that the same questions get
    the same replies from the same bundle.
    """

    async def work() -> tuple[list[str], int]:
        slots = asyncio.Semaphore(engine.config.max_batch)

        async def one(number: int, ask: Ask) -> tuple[str, int]:
            async with slots:
                seeded = replace(params, seed=(params.seed or 0) + number)
                text, finished = await engine.answer(ask.persona, ask.turns, seeded)
                bar.update()
                return text.strip(), finished.completion_tokens

        results = await asyncio.gather(*(one(i, ask) for i, ask in enumerate(asks)))
        return [text for text, _ in results], sum(tokens for _, tokens in results)

    engine.load()
    began = time.monotonic()
    with tqdm(total=len(asks), unit=" replies", leave=False, disable=None) as bar:
        texts, tokens = asyncio.run(work())
    return Answers(texts, tokens / max(time.monotonic() - began, 1e-9))


def self_chats(
    engine: Engine,
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]],
    params: SamplingParams,
    *,
    turns: int,
) -> list[list[str]]:
    """The model talks with itself, as two characters; the first one opens with "hi!"."""
    chats = [["hi!"] for _ in pairs]
    for turn in range(1, turns):
        asks = [
            Ask(pair[turn % 2], _turns(chat, turn % 2))
            for pair, chat in zip(pairs, chats, strict=True)
        ]
        seeded = replace(params, seed=(params.seed or 0) + 1000 * turn)
        for chat, text in zip(chats, answer_all(engine, asks, seeded).texts, strict=True):
            chat.append(text)
    return chats


def _turns(chat: Sequence[str], bot: int) -> list[Turn]:
    return [Turn("bot" if i % 2 == bot else "person", text) for i, text in enumerate(chat)]
