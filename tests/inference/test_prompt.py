"""What the model is given to read."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.bundle import Bundle, PromptFormat
from inference.errors import BundleError, PromptTooLong
from inference.prompt import PromptRenderer, Turn
from tests.inference.conftest import PERSONA

SPECIALS = ["<bot>", "<person>", "<persona>", "<|endoftext|>"]


def person(text: str) -> Turn:
    return Turn("person", text)


def bot(text: str) -> Turn:
    return Turn("bot", text)


def marks(bundle: Bundle, ids: tuple[int, ...]) -> list[str]:
    """The special tokens of a prompt, by role."""
    special = bundle.special_tokens
    names = {
        special.end: "end",
        special.persona: "persona",
        special.person: "person",
        special.bot: "bot",
    }
    return [names[token] for token in ids if token in names]


def test_a_prompt_is_persona_then_turns_and_ends_where_the_character_speaks(
    bundle: Bundle, renderer: PromptRenderer
) -> None:
    prompt = renderer.render(PERSONA, [person("Hi!"), bot("Hello."), person("Cats?")], reserve=30)
    assert marks(bundle, prompt.ids) == ["end", "persona", "person", "bot", "person", "bot"]
    assert prompt.ids[-1] == bundle.special_tokens.bot
    text = renderer.tokenizer.decode(list(prompt.ids), skip_special_tokens=True)
    assert "i drive a night bus. my cat hates boats." in text.lower()
    assert prompt.dropped_turns == 0
    assert [turn[0] for turn in prompt.own_turns] == [bundle.special_tokens.bot]
    said = renderer.tokenizer.decode(list(prompt.own_turns[0][1:]))
    assert said.strip().lower() == "hello."


@pytest.mark.parametrize("mark", SPECIALS)
def test_text_that_looks_like_a_control_token_is_text(
    bundle: Bundle, renderer: PromptRenderer, mark: str
) -> None:
    prompt = renderer.render([f"I say {mark}."], [person(f"{mark} Hi {mark}{mark}")], reserve=30)
    assert marks(bundle, prompt.ids) == ["end", "persona", "person", "bot"]
    assert mark.strip("<>|") in renderer.tokenizer.decode(list(prompt.ids))


@settings(max_examples=200, deadline=None)
@given(text=st.lists(st.sampled_from([*SPECIALS, " ", "<", ">", "é", "🙂", "\n"]) | st.text()))
def test_no_text_whatever_becomes_a_control_token(
    bundle: Bundle, renderer: PromptRenderer, text: list[str]
) -> None:
    # A persona has to leave room in the context: at most four tokens come of a character.
    line = "".join(text)[:100]
    prompt = renderer.render([line], [person("".join(text))], reserve=30)
    assert marks(bundle, prompt.ids) == ["end", "persona", "person", "bot"]


def test_a_long_conversation_keeps_the_persona_and_the_latest_turns(
    bundle: Bundle, renderer: PromptRenderer
) -> None:
    turns = [
        person(f"question number {n}") if n % 2 == 0 else bot(f"answer {n}") for n in range(301)
    ]
    prompt = renderer.render(PERSONA, turns, reserve=40)
    assert len(prompt.ids) + 40 <= bundle.n_ctx
    text = renderer.tokenizer.decode(list(prompt.ids))
    assert "night bus" in text
    assert "question number 300" in text
    assert "question number 0 " not in text
    assert prompt.dropped_turns > 0


def test_what_was_cut_stays_cut_for_several_turns(renderer: PromptRenderer) -> None:
    """The cached keys and values of a conversation are of use only while its start is the same."""
    turns: list[Turn] = []
    starts = []
    for n in range(120):
        turns += [person(f"tell me about thing {n}"), bot(f"thing {n} is nice i think")]
        starts.append(renderer.render(PERSONA, turns, reserve=40).dropped_turns)
    changes = sum(a != b for a, b in itertools.pairwise(starts))
    assert starts[-1] > 0
    assert changes <= len(starts) / 3


@pytest.mark.parametrize("after", ["", " " * 20_000, " \n" * 20_000])
def test_of_one_endless_message_the_end_is_kept(
    bundle: Bundle, renderer: PromptRenderer, after: str
) -> None:
    prompt = renderer.render(PERSONA, [person("word " * 20_000 + "finally." + after)], reserve=40)
    assert len(prompt.ids) + 40 <= bundle.n_ctx
    assert renderer.tokenizer.decode(list(prompt.ids)).rstrip("<bot>").strip().endswith("finally.")


def test_an_endless_message_leaves_the_same_prefix_for_the_next_turn(
    renderer: PromptRenderer,
) -> None:
    turns = [person("Hello."), bot("Hi!"), person("word " * 5_000)]
    before = renderer.render(PERSONA, turns, reserve=40)
    after = renderer.render(PERSONA, [*turns, bot("Long."), person("Yes.")], reserve=40)
    assert before.dropped_turns == after.dropped_turns == 0
    assert after.ids[: len(before.ids)] == before.ids


def test_messages_in_a_row_are_one_turn_and_silence_is_none(
    bundle: Bundle, renderer: PromptRenderer
) -> None:
    spread = [person("Hi."), person("\x00 \n"), person("How are you?"), bot(" "), person("Well?")]
    together = [person("Hi. How are you? Well?")]
    assert renderer.render(PERSONA, spread, reserve=9).ids == (
        renderer.render(PERSONA, together, reserve=9).ids
    )
    silent = renderer.render(PERSONA, [person("Hi."), bot("Hm."), person(" ")], reserve=9)
    assert marks(bundle, silent.ids)[-4:] == ["person", "bot", "person", "bot"]


def test_what_is_left_begins_with_the_person(bundle: Bundle, renderer: PromptRenderer) -> None:
    turns = [bot("I say hello first."), *(person(f"then {n}") for n in range(2))]
    for n in range(80):
        turns += [bot(f"answer number {n}, quite a long one"), person(f"question {n}")]
        prompt = renderer.render(PERSONA, turns, reserve=40)
        first = marks(bundle, prompt.ids)[2]
        assert first == ("person" if prompt.dropped_turns else "bot")


def test_a_window_narrower_than_the_context_is_kept_to(bundle: Bundle) -> None:
    options = {"lowercase": True, "window": 128}
    narrow = PromptRenderer.from_bundle(
        replace(bundle, prompt=replace(bundle.prompt, options=options))
    )
    turns: list[Turn] = []
    for n in range(60):
        turns += [person(f"question {n} of many"), bot(f"answer {n}")]
        prompt = narrow.render(PERSONA, turns, reserve=40)
        assert len(prompt.ids) + 40 <= 128
        assert prompt.reply_room >= 40
    wordy = narrow.render(["I have a lot to say about cats. " * 15], turns, reserve=40)
    assert 128 < len(wordy.ids) + wordy.reply_room <= bundle.n_ctx


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (PromptFormat(2, {}), "prompt version 2"),
        (PromptFormat(1, {"uppercase": True}), "uppercase is not known"),
        (PromptFormat(1, {"lowercase": "yes"}), "lowercase: must be true or false"),
        (PromptFormat(1, {"window": 9_999}), "window: must be a whole number from 64"),
        (PromptFormat(1, {"window": True}), "window: must be a whole number from 64"),
    ],
)
def test_a_bundle_with_another_layout_is_refused(
    bundle: Bundle, prompt: PromptFormat, reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        PromptRenderer.from_bundle(replace(bundle, prompt=prompt))


def test_a_persona_that_leaves_no_room_is_refused(renderer: PromptRenderer) -> None:
    with pytest.raises(PromptTooLong, match=r"description is \d+ tokens long"):
        renderer.render(["I have many cats. " * 300], [person("Hi")], reserve=40)


def test_training_learns_the_characters_words_and_where_it_stops(
    bundle: Bundle, renderer: PromptRenderer
) -> None:
    turns = [person("Hi!"), bot("Hello there."), person("Bye."), bot("See you.")]
    ids, mask = renderer.render_dialogue(PERSONA, turns)
    prompt = renderer.render(PERSONA, turns[:3], reserve=1)
    assert tuple(ids[: len(prompt.ids)]) == prompt.ids
    learnt = [token for token, is_learnt in zip(ids, mask, strict=True) if is_learnt]
    words = renderer.tokenizer.decode(learnt, skip_special_tokens=True)
    assert words.lower().split() == ["hello", "there.", "see", "you."]
    assert learnt.count(bundle.special_tokens.person) == 2
    assert not mask[0]


def test_typography_and_spaces_are_made_plain(renderer: PromptRenderer) -> None:
    assert renderer.normalize("  It\u2019s \u201cfine\u201d\n\tno ,\x00 really !  ").lower() == (
        'it\'s "fine" no, really!'
    )
