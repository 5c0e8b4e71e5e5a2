"""Which of several replies is the best, and what contradicts a persona."""

from __future__ import annotations

import pytest

from inference.persona.facts import facts_answered
from inference.persona.statements import facts_in
from inference.prompt import Turn
from inference.rerank import Candidate, Judge

PERSONA = ["I have two dogs, Rex and Ida.", "I live in Dublin.", "My favorite color is green."]
TURNS = [
    Turn("person", "hi!"),
    Turn("bot", "I like to walk my dogs by the sea."),
    Turn("person", "Do you have any pets?"),
]


@pytest.fixture
def judge() -> Judge:
    return Judge(PERSONA, TURNS)


def best(*candidates: Candidate) -> str:
    judge = Judge(PERSONA, TURNS)
    return max(candidates, key=judge.score).text


def said(text: str, likelihood: float = -2.0, **options: float) -> Candidate:
    return Candidate(text, likelihood, **options)  # type: ignore[arg-type]


def test_the_likelier_reply_wins_without_a_second_head() -> None:
    assert best(said("Yes, two.", -1.5), said("Yes, I do.", -2.5)) == "Yes, two."


def test_the_second_head_outweighs_likelihood() -> None:
    assert best(said("Fine.", -1.0, choice=0.1), said("Yes, two.", -2.0, choice=1.5)) == "Yes, two."


@pytest.mark.parametrize(
    "worse",
    [
        "i like to walk my dogs by the sea.",  # said in the turn before
        "yes, two dogs and yes, two dogs.",  # says it twice
        "no, i don't have any pets.",  # has two dogs
        "yes, i have three dogs.",
        "no.",
    ],
)
def test_repeating_and_contradicting_cost_more_than_a_likelier_wording_gains(worse: str) -> None:
    good = "yes, i have two dogs."
    assert best(said(worse, -1.0), said(good, -2.5)) == good
    assert best(said(worse, -2.0, choice=1.5), said(good, -2.0, choice=0.0)) == good


@pytest.mark.parametrize("relevant", ["rex is sleeping", "my pets are sleeping"])
def test_speaking_of_the_character_or_the_message_counts(relevant: str) -> None:
    assert best(said("they are sleeping", -1.8), said(relevant, -2.2)) == relevant


def test_a_reply_gains_little_by_listing_more(judge: Judge) -> None:
    two, all_ = "rex and ida", "rex and ida, two dogs in dublin, green"
    assert judge.relevance("well, so am i") == 0
    assert 0 < judge.relevance("rex") < judge.relevance(two) == judge.relevance(all_)


def test_a_reply_cut_off_costs_something() -> None:
    judge = Judge(PERSONA, TURNS)
    assert judge.penalty(Candidate("Yes, two dogs.", -2.0)) == 0
    assert judge.penalty(Candidate("Yes, two dogs", -2.0, is_cut=True)) > 0


def test_nothing_to_go_by_is_no_error() -> None:
    assert Judge([], []).penalty(Candidate("", -2.0)) == 0


CONTRADICTIONS = [
    ("I have two dogs, Rex and Ida.", "do you have any pets?", "no, i do not."),
    ("I have two dogs, Rex and Ida.", "how many?", "I have three dogs."),
    ("I do not have any pets.", "hi", "I've a dog named Max."),
    ("My favourite color is green.", "and yours?", "my favorite color is blue"),
    ("I live in Dublin.", "where do you live?", "I live in a small town."),
    ("I hate getting up early.", "mornings?", "well, i love getting up early"),
    ("I am a nurse.", "are you a nurse?", "No, I'm a teacher."),
    ("I have a son named Theo.", "do you have children?", "no i don't have any kids"),
    ("My two cats, Olive and Basil, are old.", "do you have a cat?", "Nope"),
    ("My name is Ada.", "who are you?", "my name is Bob"),
]
COMPATIBLE = [
    ("I have two dogs, Rex and Ida.", "do you have any pets?", "yes, i have two dogs."),
    ("I have two dogs.", "how are you?", "i don't have time for my dogs"),
    ("I have three sisters.", "do you have any brothers?", "no, i have three sisters."),
    ("I have a dog.", "do you like tea?", "no, i like coffee."),
    ("My favorite color is green.", "and food?", "my favorite food is pizza"),
    ("I am a nurse.", "how are you?", "i am tired."),
    ("I am a nurse.", "\u0130m fine, are you a nurse?", "yes"),
    ("I do not have a dog.", "any pets?", "i have a cat"),
]


def contradicts(line: str, question: str, reply: str) -> bool:
    known = facts_in([line])
    return any(k.contradicts(fact) for fact in facts_answered(question, reply) for k in known)


@pytest.mark.parametrize(("line", "question", "reply"), CONTRADICTIONS)
def test_a_contradiction_is_seen(line: str, question: str, reply: str) -> None:
    assert contradicts(line, question, reply)


@pytest.mark.parametrize(("line", "question", "reply"), COMPATIBLE)
def test_what_can_be_true_beside_it_is_none(line: str, question: str, reply: str) -> None:
    assert not contradicts(line, question, reply)
