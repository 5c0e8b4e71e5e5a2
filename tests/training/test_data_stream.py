"""Packing, candidates, persona lines and the order of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, takewhile
from random import Random

import numpy as np
import pytest

from inference.prompt import PromptRenderer
from tests.training.tiny import tiny_renderer
from training.data.dialogue import Dialogue
from training.data.examples import BatchShape, Example, add_candidates, segment
from training.data.packing import pack
from training.data.persona import derive_persona, describes_self
from training.data.prefetch import Item, by_thread, prefetched
from training.data.stream import Source, Stream, encode
from training.data.tokens import TokenDialogue, TokenDialogues
from training.errors import DataError

SHAPE = BatchShape(rows=2, row_length=64, targets_per_row=48, choices_per_row=3, candidates=3)


@pytest.fixture(scope="module")
def renderer() -> PromptRenderer:
    return tiny_renderer(n_ctx=64)


def dialogues(count: int = 9) -> list[Dialogue]:
    turns = ("hi !", "hi ! how are you ?", "what do you do ?")
    return [
        Dialogue("test", (("i love tea .",), ("i am a nurse .",)), (*turns, f"i have {n} dog ."))
        for n in range(count)
    ]


def examples(count: int, length: int = 20) -> list[Example]:
    return [
        Example.from_mask(
            np.arange(n * 100, n * 100 + length).tolist(),
            [8 <= place < 12 or place >= 15 for place in range(length)],
        )
        for n in range(1, count + 1)
    ]


def stream(renderer: PromptRenderer, **changes: int) -> Stream:
    source = Source(TokenDialogues.of(dialogues(), renderer), 1.0)
    return Stream([source], renderer, SHAPE, changes.get("seed", 0), 64, choice_share=1.0)


def test_a_mask_becomes_reply_spans() -> None:
    example = Example.from_mask([1, 2, 3, 4, 5, 6], [0, 1, 1, 0, 0, 1])
    assert example.replies == ((1, 3), (5, 6))
    assert example.targets == 3


def test_every_target_is_the_next_token_of_its_row() -> None:
    for batch in pack(add_candidates(examples(40), Random(0), SHAPE, share=1.0, window=64), SHAPE):
        ids = batch["ids"].ravel()
        real = batch["target_weight"] > 0
        index = batch["target_index"][real]
        assert np.array_equal(ids[index + 1], batch["target_ids"][real])
        assert (batch["branches"].ravel()[index] == 0).all()


def test_what_the_person_says_counts_less(renderer: PromptRenderer) -> None:
    tokens = TokenDialogue.of(dialogues(1)[0], renderer)
    given = (renderer, tokens.personas[1], tokens.turns_for(1), 64, 48)
    [alone], [both] = list(encode(*given)), list(encode(*given, person_coef=0.25))
    head = 2 + sum(map(len, tokens.personas[1]))
    replies = alone.weights == 1
    # Not the persona, nor the first mark, which is always given.
    assert not both.weights[: head + 1].any()
    assert (both.weights[head + 1 :] == np.where(replies, 1, 0.25)[head + 1 :]).all()
    assert both.replies == alone.replies
    item = segment(both, both.replies[0], [])
    assert [item.target_index[count - 1] + 2 for count in item.reply_ends] == [
        stop for _, stop in both.replies
    ]


def test_packing_without_filling_keeps_every_dialogue_once() -> None:
    items = [segment(example, example.replies[0], []) for example in examples(25)]
    seen = [
        int(token)
        for batch in pack(items, SHAPE, fill=False)
        for token in batch["ids"][batch["segments"] > 0]
    ]
    wanted = [int(token) for example in examples(25) for token in example.ids]
    assert sorted(seen) == sorted(wanted)


def test_filling_leaves_little_padding() -> None:
    random = Random(1)
    items = [
        segment(example, example.replies[0], [])
        for n in range(200)
        for example in examples(1, length=random.randint(16, 40))
    ]
    batches = list(pack(items, SHAPE))[:-2]
    assert np.mean([np.mean(batch["segments"] > 0) for batch in batches]) > 0.9


def test_wrong_candidates_come_from_the_same_source() -> None:
    """Another source's replies would be told by their manner."""
    mixed = [
        replace(example, source=n % 2, ids=example.ids % 1000 + 1000 * (n % 2))
        for n, example in enumerate(examples(200))
    ]
    groups = 0
    for batch in pack(add_candidates(mixed, Random(0), SHAPE, share=1.0, window=64), SHAPE):
        for candidates, weight in zip(batch["choice_index"], batch["choice_weight"], strict=True):
            if weight:
                groups += 1
                assert len(set(batch["ids"].ravel()[candidates] // 1000)) == 1
    assert groups > 50


def test_wrong_candidates_stand_where_the_reply_stands() -> None:
    example = examples(1)[0]
    wrong = [np.array([7, 8, 9], np.int32), np.array([5], np.int32)]
    item = segment(example, (8, 12), wrong)
    assert item.ids[20:].tolist() == [7, 8, 9, 5]
    assert item.positions[20:].tolist() == [8, 9, 10, 8]
    assert item.branches[20:].tolist() == [1, 1, 1, 2]
    assert item.starts[20:].tolist() == [8] * 4
    # The last token of the true reply, then of each wrong one.
    assert item.choice_index.tolist() == [[11, 22, 23]]


def test_a_wrong_candidate_beyond_the_window_is_not_used() -> None:
    given = [replace(e, replies=((30, 34),)) for e in examples(200, length=36)]
    for window, some in ((64, True), (33, False)):
        made = add_candidates(given, Random(0), SHAPE, share=1.0, window=window)
        segments = list(made)
        assert any(len(item.choice_index) for item in segments) is some
        assert max(int(item.positions.max()) for item in segments) <= max(window, 35)


def test_data_that_nowhere_fits_is_said(renderer: PromptRenderer) -> None:
    nothing = replace(stream(renderer), window=4)
    with pytest.raises(DataError, match="No dialogue fits 4 tokens"):
        next(nothing.batches())


def test_an_epoch_that_draws_nothing_is_no_end(renderer: PromptRenderer) -> None:
    source = Source(TokenDialogues.of(dialogues(2), renderer), 0.1)
    some = replace(stream(renderer), sources=[source])
    epochs = [epoch for epoch, _, _ in islice(some.batches(), 12)]
    assert epochs == sorted(epochs)
    assert epochs[-1] > len(epochs)
    assert next(some.batches(epochs[5]))[0] == epochs[5]


def test_an_epoch_of_nothing_but_long_dialogues_is_no_end(renderer: PromptRenderer) -> None:
    long = Dialogue("t", ((), ("i am a nurse .",)), ("hi !", "i have a dog . " * 30))
    source = Source(TokenDialogues.of([long, *dialogues(1)], renderer), 0.3)
    assert len(list(islice(replace(stream(renderer), sources=[source]).batches(), 9))) == 9


def test_batches_go_on_where_they_stopped(renderer: PromptRenderer) -> None:
    whole = list(islice(stream(renderer).batches(), 12))
    epoch, number, _ = whole[6]
    rest = list(islice(stream(renderer).batches(epoch, number), 6))
    for (*place, batch), (*other, again) in zip(whole[6:], rest, strict=True):
        assert place == other
        assert all(np.array_equal(batch[name], again[name]) for name in batch)


def test_the_order_depends_on_the_seed_and_the_epoch(renderer: PromptRenderer) -> None:
    first = next(stream(renderer).batches())[2]["ids"]
    assert not np.array_equal(first, next(stream(renderer, seed=1).batches())[2]["ids"])
    assert not np.array_equal(first, next(stream(renderer).batches(epoch=1))[2]["ids"])


def test_long_dialogues_are_cut_in_halves(renderer: PromptRenderer) -> None:
    dialogue = Dialogue("t", ((), ("i am a nurse .",)), ("hi !", "i have a dog .") * 10)
    tokens = TokenDialogue.of(dialogue, renderer)
    found = list(encode(renderer, tokens.personas[1], tokens.turns_for(1), 64, 48))
    assert len(found) > 1
    assert all(len(example.ids) <= 64 for example in found)
    assert sum(len(example.replies) for example in found) == 10


def test_the_pieces_of_a_long_dialogue_are_spread(renderer: PromptRenderer) -> None:
    turns = ("do you love rex ?", "yes , i love rex .") * 40
    long = Dialogue("test", ((), ()), turns)
    source = Source(TokenDialogues.of([long, *dialogues(300)], renderer), 1.0)
    [rex] = renderer.encode("rex")
    of_epoch = takewhile(
        lambda item: item[0] == 0, replace(stream(renderer), sources=[source]).batches()
    )
    has_rex = [bool((batch["ids"] == rex).any()) for _, _, batch in of_epoch]
    # As they come, they are in two stretches, one with each speaker as the bot.
    assert len(has_rex) > 200
    assert all(any(has_rex[start : start + 40]) for start in range(0, len(has_rex) - 40, 40))


def test_both_ways_of_prefetching_give_the_same(renderer: PromptRenderer) -> None:
    ways = [list(islice(way(stream(renderer).batches()), 9)) for way in (prefetched, by_thread)]
    for (*place, batch), (*other, again) in zip(*ways, strict=True):
        assert place == other
        assert all(np.array_equal(batch[name], again[name]) for name in batch)


@pytest.mark.parametrize("way", [prefetched, by_thread])
def test_what_goes_wrong_as_batches_are_made_arrives_as_it_is(
    renderer: PromptRenderer, way: Callable[[Iterator[Item]], Iterator[Item]]
) -> None:
    def broken() -> Iterator[Item]:
        yield from islice(stream(renderer).batches(), 2)
        raise DataError("no more")

    items = way(broken())
    assert len(list(islice(items, 2))) == 2
    with pytest.raises(DataError, match=r"^no more$"):
        next(items)


@pytest.mark.parametrize(
    ("sentence", "line"),
    [
        ("I have two dogs at home!", "I have two dogs at home."),
        ("Well, I love old western films.", "I love old western films."),
        ("I agree with that.", None),
        ("I have a dog.", "I have a dog."),
        ("I love it.", None),
        ("Do you have a dog?", None),
        ("I like your idea very much.", None),
    ],
)
def test_sentences_that_describe_the_speaker(sentence: str, line: str | None) -> None:
    assert describes_self(sentence) == line


def test_personas_are_derived_where_there_are_none() -> None:
    turns = ("Hi! I have two big dogs.", "Nice. I work at a school in Ohio.", "I love the sea.")
    derived = derive_persona(Dialogue("t", ((), ()), turns), Random(0))
    assert set(derived.personas[0]) == {"I have two big dogs.", "I love the sea."}
    assert derived.personas[1] == ("I work at a school in Ohio.",)
    given = dialogues(1)[0]
    assert derive_persona(given, Random(0)) is given
