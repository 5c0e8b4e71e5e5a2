"""Grammar dialogues: every answer follows from the persona of whoever gives it."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import islice, pairwise, product
from pathlib import Path
from random import Random

from tests.training.tiny import dialogue_row, write_rows
from training.data.dialogue import Dialogue
from training.data.held_out import HeldOut
from training.data.sources import words_to_copy
from training.grammar.conversation import CHARACTER
from training.grammar.generator import grammar_dialogues
from training.grammar.lines import PersonaMaker, slots_of
from training.grammar.rules import load_rules, plain
from training.grammar.smalltalk import Exchange, exchanges, reactions_to
from training.measure.consistency import persona_questions


@cache
def all_made() -> list[Dialogue]:
    return list(grammar_dialogues(4000, seed=3))


def made(count: int = 150) -> list[Dialogue]:
    """The first `count`; they are made once for all tests."""
    return all_made()[:count]


def says(kind: Iterable[Exchange]) -> tuple[str, ...]:
    """Everything without a slot that may be said first in exchanges of a kind."""
    return tuple(text for exchange in kind for text in exchange.say if not slots_of(text))


def said_by(dialogue: Dialogue, speaker: int) -> str:
    return " ".join(dialogue.turns[speaker::2])


def test_the_same_seed_makes_the_same_dialogues() -> None:
    first, again, other = (list(grammar_dialogues(5, seed=seed)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_no_text_has_a_slot_left() -> None:
    for dialogue in made():
        for text in (*dialogue.turns, *dialogue.personas[0], *dialogue.personas[1]):
            assert "{" not in text
            assert text.strip()


def test_people_without_pets_do_not_have_pets() -> None:
    denied = 0
    for dialogue in made(600):
        for speaker, lines in enumerate(dialogue.personas):
            text = " ".join(plain(line) for line in lines)
            if re.search(r"i (have|own) (an?|two|three) (\w+ )?(dogs?|cats?)\b", text):
                assert "do not have any pets" not in said_by(dialogue, speaker)
            elif "do not have any pets" in said_by(dialogue, speaker):
                denied += 1
    assert denied > 3


def test_ages_are_the_persona_s_own() -> None:
    answers = 0
    for dialogue in made(1200):
        for speaker, lines in enumerate(dialogue.personas):
            for age in re.findall(r"i am (\d\d)\b", said_by(dialogue, speaker)):
                answers += 1
                assert age in " ".join(lines)
    assert answers > 5


def test_given_personas_are_drawn_on() -> None:
    pool = [("I have a dog named Rex.", "I am a nurse.")]
    drawn = list(grammar_dialogues(40, seed=1, pools=[pool]))
    with_rex = [d for d in drawn for side in (0, 1) if d.personas[side] == pool[0]]
    assert 10 < len(with_rex) < 40
    assert any("rex" in " ".join(d.turns) for d in with_rex)


def test_given_words_fill_open_slots() -> None:
    drawn = grammar_dialogues(60, seed=1, words=["xyzzy"])
    personas = [" ".join(line) for dialogue in drawn for line in dialogue.personas]
    assert 20 < sum("xyzzy" in persona for persona in personas) < 110


def test_words_to_copy_are_common_and_rare_ones() -> None:
    letters = product("abcdefghij", repeat=3)
    counts = Counter({"".join(word): 1000 - i for i, word in enumerate(islice(letters, 600))})
    counts.update({"rex!": 500, "ab": 400, "typo": 1, "edinburgh": 3})
    words = words_to_copy(counts)
    assert "edinburgh" in words
    assert not {"rex!", "ab", "typo", counts.most_common()[0][0]} & set(words)


def test_personas_that_a_model_is_measured_with_are_not_drawn(tmp_path: Path) -> None:
    validation = write_rows(tmp_path / "dev.jsonl", [dialogue_row()])
    held_out = HeldOut.of_file(validation)
    assert held_out.knows(["I sail.", "i have a dog, named rex!"])
    assert held_out.knows([persona_questions()[0].lines[0]])
    assert not held_out.knows(["I sail."])


def test_a_named_pet_is_asked_for_its_name() -> None:
    pool = [("I have a hedgehog.", "My cat is named Kazimo.", "I am single.")]
    turns = [
        pair
        for dialogue in grammar_dialogues(1000, seed=2, pools=[pool])
        for pair in pairwise(dialogue.turns)
        if re.search("(called|name of your cat)[?]$", pair[0])
    ]
    answers = [answer for _, answer in turns if "kazimo" in answer]
    assert len(answers) > 5


def test_whoever_is_single_denies_a_husband_and_whoever_is_married_does_not() -> None:
    denials = 0
    for dialogue in made(4000):
        for asked, answer in pairwise(dialogue.turns):
            if asked.endswith("are you married?"):
                answerer = dialogue.personas[1 - dialogue.turns.index(asked) % 2]
                text = " ".join(plain(line) for line in answerer)
                if re.search(r"i am (single|divorced|a widow)", text):
                    denials += 1
                    assert "i am married" not in answer
                elif re.search(r"my (wife|husband)\b|i am married", text):
                    assert "not married" not in answer
                    assert "i am single" not in answer
    assert denials > 2


def test_animals_one_lives_with_are_pets_and_where_one_lives() -> None:
    topics = [fact.topic for fact in load_rules().facts(["I live on a farm with six goats."])]
    assert topics == ["company", "pet", "home", "self"]


def test_a_line_is_asked_about_by_how_it_is_built() -> None:
    expected = {
        "My truck is red.": ("what color is your truck?", "red."),
        "My grandmother taught me to sew.": ("who taught you to sew?", "my grandmother."),
        "I was in the navy for thirty years.": ("were you in the navy?", "yes, for thirty years."),
        "I used to be a dancer.": ("were you a dancer?", "yes, i used to be a dancer."),
        "I wake up at four every day.": ("when do you get up?", "at four every day."),
        "I have never flown in a plane.": ("have you ever flown in a plane?", "no, never."),
        "I can't swim.": ("can you swim?", "no. i can't swim."),
        "I am a grandmother of nine.": ("how many grandchildren do you have?", "nine."),
        "I live with my parents.": ("do you live alone?", "no, i live with my parents."),
        "I am saving for a sailboat.": ("what are you saving for?", "a sailboat."),
        "I have a hedgehog called Pretzel.": ("what is your hedgehog called?", "pretzel."),
        "I paint my own shoes.": ("do you paint your own shoes?", "yes, i paint my own shoes."),
    }
    for line, (question, answer) in expected.items():
        told = {
            (ask, say)
            for fact in load_rules().facts([line])
            for ask, say in (*product(fact.ask, fact.say), *fact.pairs)
        }
        assert (question, answer) in told, line


def test_lines_are_understood() -> None:
    rules = load_rules()
    expected = {
        "I have two dogs named Salt and Pepper.": "pet",
        "My cat, Biscuit, sleeps on my face.": "pet",
        "I'm a night watchman.": "job",
        "I live in a small town.": "home",
        "My favorite food is pizza.": "favorite",
        "I am forty five years old.": "age",
        "I am married.": "partner",
        "I hate spiders.": "dislike",
        "I play the violin.": "music",
        "I have played the harp since I was six.": "music",
        "I am a retired night watchman.": "job",
        "I don't drive.": "car",
        "I do not have any pets.": "pet",
        "I am a widower.": "partner",
        "My wife and I garden.": "partner",
    }
    for line, topic in expected.items():
        # Before it are those of how the line is built, after it the one for any line.
        assert rules.facts([line])[-2].topic == topic, line
    assert [fact.topic for fact in rules.facts(["Nobody knows my middle name."])] == ["self"]


def test_made_lines_are_mostly_understood() -> None:
    maker, rules, random = PersonaMaker(), load_rules(), Random(5)
    lines = [line for _ in range(200) for line in maker.persona(random)]
    known = [line for line in lines if rules.facts([line])[0].topic != "self"]
    assert len(known) > 0.9 * len(lines)


def test_only_who_is_asked_says_how_they_are() -> None:
    talk = load_rules().talk
    plain_hellos = {text for text in talk["hello"] if "?" not in text}
    alone = [d.turns[1] for d in made(300) if d.turns[0] in plain_hellos]
    assert len(alone) > 10
    assert not [turn for turn in alone if turn.startswith(tuple(talk["well"]))]
    asked = [d.turns[1] for d in made(300) if d.turns[0] == "hi, how are you?"]
    assert asked
    assert all(turn.startswith(tuple(talk["well"])) for turn in asked)


def test_questions_come_in_many_wordings() -> None:
    questions = {
        sentence
        for dialogue in islice(grammar_dialogues(300), 300)
        for turn in dialogue.turns
        for sentence in re.findall(r"[^.!?]+\?", turn)
    }
    assert len(questions) > 300


def test_what_the_person_says_is_taken_up() -> None:
    taken_up = 0
    for dialogue in made(2500):
        for said, reply in pairwise(dialogue.turns):
            if re.search(r"(?<!yes[.,] )my \w+ died\.$", said):
                taken_up += 1
                assert re.search(r"sorry|miss|sad|what was|how old|close|hard", reply)
    assert taken_up > 5


def test_only_the_person_tells_unasked() -> None:
    for dialogue in made(300):
        assert "you are stupid" not in said_by(dialogue, CHARACTER)
        assert "i got fired" not in said_by(dialogue, CHARACTER)


def test_reactions_name_what_was_said() -> None:
    names = 0
    for dialogue in made(2500):
        for said, reply in pairwise(dialogue.turns):
            if found := re.search(r"(?:my name is|call me) (\w+)\.$", said):
                names += found[1] in reply
    assert names > 5


def test_the_character_asks_what_one_can_ask_without_knowing_the_other() -> None:
    for dialogue in made(600):
        questions = re.findall(r"(?:so|is it true that) you[^.?!]*\?", said_by(dialogue, CHARACTER))
        assert not questions


def test_whoever_has_a_line_on_the_subject_may_answer_with_it() -> None:
    maker, random = PersonaMaker(), Random(3)
    hobby = next(exchange for exchange in exchanges() if exchange.subject == "hobby")
    replies = [hobby.texts(maker, random, ["i like chess."])[1] for _ in range(40)]
    own = [reply for reply in replies if reply.endswith(" i like chess.")]
    assert 10 < len(own) < 30
    assert not any("?" in reply for reply in own)


def test_no_conversation_opens_with_an_answer() -> None:
    answers = says(exchange for exchange in exchanges() if not exchange.opens)
    others = says(exchange for exchange in exchanges() if exchange.opens)
    greeted = re.compile(r"^(?:h[a-z]+(?: there)?|good \w+)[.!]? ")
    opened = [greeted.sub("", dialogue.turns[0]) for dialogue in all_made()]
    assert {"you repeat yourself.", "me too!", "haha good one.", "it was amazing."} <= {*answers}
    assert not set(opened) & set(answers)
    assert len(set(opened) & set(others)) > 50
    later = {turn for dialogue in all_made() for turn in dialogue.turns[2:]}
    assert len(later & set(answers)) > 30


def test_what_is_said_to_any_statement_fits_each_mood() -> None:
    for subject in ("partner", "hobby", "pet", "job", "siblings", "car"):
        assert reactions_to(subject), subject
        assert not [text for text in reactions_to(subject) if "?" in text]
    of_one_mood = {
        "partner": ("love comes when you do not look for it.", "good for you two."),
        "hobby": ("now i am hungry.", "music is the best.", "good taste!"),
        "pet": ("aw, how cute!", "those are lovely names."),
    }
    for subject, reactions in of_one_mood.items():
        assert not set(reactions) & set(reactions_to(subject))
    statement = re.compile(r"(?:^|[.!?] )(?:i am married|my (?:wife|husband) is an? [a-z ]+)\.$")
    replies = [
        reply
        for dialogue in all_made()
        for said, reply in pairwise(dialogue.turns)
        if statement.search(said)
    ]
    assert len(replies) > 20
    assert not [reply for reply in replies if reply.startswith(of_one_mood["partner"][0])]


def test_a_goodbye_is_the_end() -> None:
    goodbyes = says(exchange for exchange in exchanges() if exchange.ends)
    ended = 0
    for dialogue in all_made():
        for turn, (said, reply) in enumerate(pairwise(dialogue.turns)):
            if turn % 2 != CHARACTER and said.endswith(goodbyes):
                ended += 1
                assert "?" not in reply
                assert turn + 2 == len(dialogue.turns)
    assert ended > 50


def test_how_somebody_is_is_not_asked_after_a_greeting_that_asked_it() -> None:
    talk = load_rules().talk
    greetings = {text for kind in ("hello", "greet", "well") for text in talk[kind] if "?" in text}
    greeted = 0
    for dialogue in all_made():
        if any(turn.startswith(tuple(greetings)) for turn in dialogue.turns[:2]):
            greeted += 1
            # After the greetings and their return.
            assert not [turn for turn in dialogue.turns[4:] if turn.endswith(tuple(talk["asked"]))]
    assert greeted > 500


def test_what_replies_are_measured_with_is_not_said() -> None:
    data = tomllib.loads(Path("training/measure/reactions.toml").read_text(encoding="utf-8"))
    measured = {q["ask"].lower() for persona in data["persona"] for q in persona["questions"]}
    assert measured
    assert not measured & {text for exchange in exchanges() for text in exchange.say}
