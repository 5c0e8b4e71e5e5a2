"""What the model is given to read."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.bundle import Bundle
from inference.errors import PromptTooLong
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
    said = renderer.tokenizer.decode(list(prompt.bot_ids))
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
    prompt = renderer.render(["".join(text)], [person("".join(text))], reserve=30)
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
    assert changes <= 20


def test_of_one_endless_message_the_end_is_kept(bundle: Bundle, renderer: PromptRenderer) -> None:
    prompt = renderer.render(PERSONA, [person("word " * 20_000 + "finally.")], reserve=40)
    assert len(prompt.ids) + 40 <= bundle.n_ctx
    assert renderer.tokenizer.decode(list(prompt.ids)).rstrip("<bot>").strip().endswith("finally.")


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
