"""What the persona has the answer to is answered by it."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

import pytest

from inference.engine import Delta, Engine
from inference.params import SamplingParams
from inference.persona.answering import Answers
from inference.persona.facts import true_answer
from inference.persona.names import name_told
from inference.persona.remembered import told_by_person
from inference.persona.retrieval import line_asked_for
from inference.prompt import PromptRenderer, Speaker, Turn
from inference.vocabulary import Vocabulary

PERSONA = [
    "I have a son named Theo.",
    "I am a glassblower.",
    "My wife Agneta makes the best soup.",
    "I do not have any pets.",
    "I hate mornings.",
    "I collect old maps.",
    "My truck is red.",
    "I want to see snow once.",
]
ANSWERED = [
    ("Do you have kids?", True),
    ("do you have any children", True),
    ("Nice! So do you have a son?", True),
    ("are you married?", True),
    ("are you single?", False),
    ("any pets?", False),
    ("have you got any dogs?", False),
    ("do you like mornings?", False),
    ("Are you a glassblower?", True),
    ("do you have a car?", None),
    ("do you like it?", None),
    ("are you afraid of dogs?", None),
    ("I do you a favor", None),
    ("what do you do?", None),
    ("", None),
]
IMPLIED = [
    ("I am an only child.", "do you have any brothers or sisters?", False),
    ("I have three sisters.", "do you have brothers or sisters?", True),
    ("I am vegan.", "do you eat meat?", False),
    ("I am allergic to peanuts.", "do you have any allergies?", True),
    ("My husband died last year.", "are you married?", None),
    ("I got married in the rain.", "are you married?", True),
    ("I am a proud father of four.", "any kids?", True),
    ("My kids are in bed.", "do you have children?", True),
    ("My two kids are in bed.", "do you have a family?", True),
    ("I have four noisy brothers.", "any family?", True),
    ("I have a cat.", "do you have family?", None),
    ("I have no family.", "do you have a family?", False),
    ("My neighbor's dog barks all night.", "do you have a dog?", None),
    ("My wife divorced me.", "are you married?", None),
    ("I hate small dogs.", "do you like dogs?", None),
    ("I have outlived three cars.", "do you have a car?", None),
    ("I have red hair.", "do you have hair?", True),
    ("I play the bagpipes.", "do you play an instrument?", True),
    ("I have two dogs.", "do you have a dog?", True),
    ("I adopted a dog who snores.", "do you have any pets?", True),
    ("I have two dogs.", "do you have three dogs?", False),
    ("I have a cat.", "do you have a dog?", False),
    ("I have a cat.", "do you have a dog house?", None),
    ("I have a kitten.", "do you have a cat?", True),
    ("I have a parrot.", "do you have a bird?", None),
    ("I have two dogs.", "do you have a big dog?", None),
    ("I have a dog, and I look after a cat.", "do you have a cat?", None),
    ("I have two kids.", "do you have a son?", None),
    ("I am a twin, and I have a brother.", "do you have a sister?", False),
    ("My husband snores.", "do you have a girlfriend?", False),
    ("I play the banjo.", "do you play the guitar?", False),
]
WHO_IS_IT = [
    ("how old are you?", ["I turned thirty and bought a hat.", "I bake."], 0),
    ("where are you from?", ["I live in Lisbon.", "I grew up on a farm."], 1),
    ("where are you from?", ["I live in Lisbon.", "I bake."], 0),
    ("where do you live?", ["I am from Lisbon.", "I live on a boat."], 1),
    ("where do you live?", ["I am from Lisbon.", "I bake."], 0),
    ("where do you live?", ["I grew up on a farm.", "I bake."], None),
    ("where did you grow up?", ["I live in Lisbon.", "I bake."], None),
    ("what do you do for fun?", ["I do not own a phone.", "I row."], 1),
    ("what's your name?", ["Friends call me Bo.", "My name is Bodil."], 1),
    ("what's your name?", ["Friends call me Bo.", "I bake."], 0),
    ("what about you?", ["Friends call me Bo.", "I bake."], 1),
]
ASKED_FOR = [
    ("What do you do for a living?", "I am a glassblower."),
    ("so, what's your job", "I am a glassblower."),
    ("what do you collect?", "I collect old maps."),
    ("what color is your truck?", "My truck is red."),
    ("What do you do for fun?", "I collect old maps."),
    ("do you have any hobbies?", "I collect old maps."),
    ("what kind of work does your wife do?", None),
    ("how old are your dogs?", None),
    ("who are you voting for?", None),
    ("what makes you laugh?", None),
    ("what is your favourite color?", None),
    ("what's your biggest dream?", "I want to see snow once."),
    ("what is your wife called?", "My wife Agneta makes the best soup."),
    ("What’s your wife called", "My wife Agneta makes the best soup."),
    ("tell me about yourself", "I have a son named Theo. I am a glassblower."),
    ("what should i know about you?", "I have a son named Theo. I am a glassblower."),
    ("what about you?", "I have a son named Theo."),
    ("what else?", "I have a son named Theo."),
    ("what color is my truck?", None),
    ("how old are you?", None),
    ("how are you?", None),
    ("what color is your hat?", None),
    ("I collect old maps too.", None),
]


@pytest.mark.parametrize(("question", "answer"), ANSWERED)
def test_yes_and_no_follow_from_the_persona(question: str, answer: bool | None) -> None:
    found = true_answer(question, PERSONA)
    assert (found and found[0]) is answer


@pytest.mark.parametrize(("line", "question", "answer"), IMPLIED)
def test_what_a_line_implies_is_known(line: str, question: str, answer: bool | None) -> None:
    assert true_answer(question, [line]) == (None if answer is None else (answer, line))


@pytest.mark.parametrize(("question", "line"), ASKED_FOR)
def test_a_question_finds_its_line(question: str, line: str | None) -> None:
    assert line_asked_for(question, PERSONA) == line


@pytest.mark.parametrize(("question", "persona", "place"), WHO_IS_IT)
def test_who_somebody_is_has_the_surest_line(
    question: str, persona: list[str], place: int | None
) -> None:
    found = line_asked_for(question, persona)
    assert found == (None if place is None else persona[place])


def test_whoever_tells_about_themself_has_more_to_say_than_a_name() -> None:
    persona = ["My name is Ida.", *PERSONA]
    assert line_asked_for("tell me about yourself", persona) == " ".join(PERSONA[:2])
    assert line_asked_for("what else?", persona, said=PERSONA[:2]) == PERSONA[2]
    long = [f"I bake {'very ' * 20}good bread.", "I row."]
    assert line_asked_for("tell me about yourself", long) == long[0]


def test_what_is_done_for_a_living_is_the_job() -> None:
    persona = ["I am the goalkeeper of a bad team.", "I roast coffee for a living."]
    assert line_asked_for("what do you do?", persona) == persona[1]


def test_what_was_just_told_is_not_told_again_but_who_one_is() -> None:
    said = ["I collect old maps. And you?", "I am a glassblower."]
    assert line_asked_for("what do you collect?", PERSONA, said) is None
    assert line_asked_for("what else?", PERSONA[5:], said) == "My truck is red."
    # Whoever asks for the job once more is not told another line as if it were one.
    others = ["I am a glassblower.", "I walk backwards on Sundays."]
    assert line_asked_for("what do you do?", others, said) == "I am a glassblower."


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("do you have pets?", False),
        ("are you married?", False),
        ("do you play an instrument?", False),
        ("do you have a big dog?", None),
        ("do you have kids?", None),  # who knows whose the boys are
        ("do you like dogs?", None),
        ("do you have a car?", None),
        ("are you a girl?", None),
        ("are you a twin?", None),
    ],
)
def test_what_people_would_tell_and_do_not_is_not_so(question: str, answer: bool | None) -> None:
    found = true_answer(question, ["I teach chess to boys.", "I like the sea."])
    assert found == (None if answer is None else (answer, ""))


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("What is my cat called?", "I have a cat called Miro"),
        ("do you know what my name is?", "My name is Tom"),
        ("where do I live?", "I live in Rome"),
        ("what is my dog called?", None),
        ("what is your cat called?", None),
        ("my name is Tom", None),
    ],
)
def test_what_the_person_told_is_remembered(question: str, sentence: str | None) -> None:
    said = [
        "Hi! My name is Tom.",
        "I live in Paris. I have a cat called Miro.",
        "now I live in Rome",
    ]
    assert told_by_person(question, said) == sentence


def test_a_name_may_be_told_in_a_sentence_of_its_own() -> None:
    said = ["My dog died yesterday.", "he was 12 years old", "His name was Rex!", "thank you"]
    assert told_by_person("what was my dog's name?", said) == "His name was Rex"
    assert told_by_person("what was my dog's name?", said[:2]) is None
    assert told_by_person("what is my cat's name?", said) is None
    assert told_by_person("what is my name?", said) is None


def beginning(
    renderer: PromptRenderer, turns: Sequence[Turn], persona: Sequence[str] = PERSONA
) -> str | None:
    """What a reply to the last turn begins with, in lower case."""
    answer = Answers(renderer, Vocabulary.of(renderer.tokenizer)).to(turns, persona, 40)
    if answer is None or not answer.begins:
        return None
    return renderer.tokenizer.decode(list(answer.begins)).strip()


@pytest.mark.parametrize(
    ("message", "begins"),
    [
        ("Hi, I'm Tom from Chicago", "nice to meet you, tom!"),
        ("my name is anna. what's yours?", "nice to meet you, anna! my name is ida."),
        ("I'm Bob, and you?", "nice to meet you, bob! my name is ida."),
        ("I'm Bob. What do you do?", "nice to meet you, bob! i am a glassblower."),
        ("I'm Bob. Do you have kids?", "yes, i have a son named theo."),
        ("I'm German", None),
        ("I'm Tired", None),
        ("my name is not important", None),
        ("My name is hard to spell", None),
        ("guess what my name is lol", "you have not told me your name."),
        ("I'm Ukrainian", None),
        ("I'm Welsh.", None),
        ("I'm Ethan", "nice to meet you, ethan!"),
        ("Hi, I'm Ali.", "nice to meet you, ali!"),
        ("I'm Tom's brother", None),
        ("I\u2019m \u0141ukasz.", "nice to meet you, \u0142ukasz!"),
    ],
)
def test_whoever_says_their_name_is_greeted_by_it(
    renderer: PromptRenderer, message: str, begins: str | None
) -> None:
    persona = ["My name is Ida.", *PERSONA]
    assert beginning(renderer, [Turn("person", message)], persona) == begins


STATED_WORDS = """
    Welsh European Israeli Kenyan Pakistani Iraqi Saudi Filipino Filipina Afghan Arab Chilean
    Bengali Nepali Somali Hispanic Hawaiian Kurdish Tibetan Venezuelan Icelandic Cypriot Zimbabwean
    Aussie Kiwi Jew Mormon Protestant Baptist Methodist Lutheran Quaker Taoist Pagan Agnostic
    Democrat Liberal Feminist Bisexual Autistic Sagittarius
"""
NAME_WORDS = """
    Ethan Sean Ali Finn Roman Norman Jordan Chad Israel Asher Kelvin Omar Duncan Susan Logan Noor
    Naomi Levi Heidi Bambi Matti Tristan Evan Alan Meghan Chloe Jude Sami Romy Brit Christa
"""


def test_where_somebody_is_from_and_what_they_believe_is_no_name() -> None:
    assert [word for word in STATED_WORDS.split() if name_told(f"I'm {word}.")] == []


def test_a_name_that_ends_as_a_nationality_is_a_name() -> None:
    assert [word for word in NAME_WORDS.split() if not name_told(f"I'm {word}.")] == []


@pytest.mark.parametrize(
    ("message", "begins"),
    [
        ("Do you play the violin?", "no, i do not play the violin"),
        ("Any siblings?", "no, i do not have any siblings"),
        ("Are you married?", "no, i am not married"),
        ("are you single?", "yes, i am single"),
        ("Do you have a dog that you take to the beach?", "no, i do not have a dog"),
    ],
)
def test_without_a_line_it_is_said_in_full_once(
    renderer: PromptRenderer, message: str, begins: str
) -> None:
    persona = ["I am a glassblower."]
    assert beginning(renderer, [Turn("person", message)], persona) == begins
    again = [Turn("bot", f"{begins.capitalize()}."), Turn("person", message)]
    assert beginning(renderer, again, persona) == begins.partition(",")[0]


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("hi im anna", "anna"),
        ("i'm tom, you?", "tom"),
        ("i am anna from chicago", "anna"),
        ("im german", None),
        ("im tired", None),
        ("i am anna's sister", None),
    ],
)
async def test_a_name_may_be_told_without_a_capital(
    engine: Engine, message: str, name: str | None
) -> None:
    params = SamplingParams(max_tokens=24, temperature=0, copying=0.8)

    async def reply(*texts: str) -> str:
        events = engine.generate(["I bake."], chat(*texts), params)
        return "".join([e.text async for e in events if isinstance(e, Delta)])

    assert (await reply(message)).startswith("Nice to meet you, ") is bool(name)
    told = await reply(message, "I see.", "what is my name?")
    expected = f"You are {name.capitalize()}" if name else "You have not told me your name."
    assert told.startswith(expected)


@pytest.mark.parametrize(
    ("before", "message", "begins"),
    [
        (
            ["do you have any pets?", "Yes, I do."],
            "what kind?",
            "my snake, susan, likes to sit in my hat.",
        ),
        (["do you play an instrument?", "I do."], "oh nice, which one", "i play the banjo."),
        (["do you play an instrument?", "I do."], "what kind of music is it?", None),
        (["are you happy?", "I am."], "what kind?", None),
        ([], "what kind?", None),
    ],
)
def test_what_kind_is_asked_of_what_was_asked_before(
    renderer: PromptRenderer, before: list[str], message: str, begins: str | None
) -> None:
    persona = [*FAMILY, "I play the banjo."]
    assert beginning(renderer, chat(*before, message), persona) == begins


def test_nobody_is_greeted_twice_in_the_same_words(renderer: PromptRenderer) -> None:
    turns = [
        Turn("person", "Hi!"),
        Turn("bot", "Nice to meet you. You?"),
        Turn("person", "I'm Tom"),
    ]
    assert beginning(renderer, turns, PERSONA) == "hello, tom!"
    turns += [Turn("bot", "Hello, Tom!"), Turn("person", "I said I'm Tom")]
    assert beginning(renderer, turns, PERSONA) is None


@pytest.mark.parametrize(
    ("before", "message", "begins"),
    [
        ([], "I'm from Chicago, and you?", "i am from oslo."),
        ([], "I'm 25. what about you?", "i am seventy."),
        ([], "I work in a bank, hbu", "i am a glassblower."),
        (["Hi", "Where do you live?"], "chicago, you?", "i live on a boat."),
        (["Hi", "Do you have any pets?"], "Two cats. And you?", "no, i do not have any pets."),
        (["Hi", "How are you?"], "I'm from Chicago, and you?", "i am from oslo."),
        (["I'm Tom", "Hello, Tom!"], "And you?", "my name is ida."),
        (["I paint boats.", "I see."], "What about you?", "i collect old maps."),
        (["Hi", "What is the news?"], "Nothing. You?", None),
        ([], "What do you think? I love you", None),
        ([], "Thank you", None),
    ],
)
def test_a_question_that_is_handed_back_is_answered(
    renderer: PromptRenderer, before: list[str], message: str, begins: str | None
) -> None:
    persona = ["My name is Ida.", *PERSONA, "I am seventy.", "I am from Oslo.", "I live on a boat."]
    sides: tuple[Speaker, Speaker] = ("person", "bot")
    turns = [Turn(sides[i % 2], text) for i, text in enumerate([*before, message])]
    assert beginning(renderer, turns, persona) == begins


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("Hi, I'm Tom from Chicago. It is late.", "You are Tom from Chicago."),
        ("im Bob", "You are Bob."),
        ("Hey, my name is Al!", "Your name is Al."),
        ("I'm Spanish and I am Happy.", "You have not told me your name."),
        ("I\u2019m Zoe", "You are Zoe."),
    ],
)
def test_a_name_is_remembered_however_it_was_told(
    renderer: PromptRenderer, said: str, answer: str | None
) -> None:
    turns = [Turn("person", said), Turn("bot", "I see."), Turn("person", "What's my name?")]
    assert beginning(renderer, turns) == (answer and answer.lower())


@pytest.mark.parametrize(
    ("said", "question", "answer"),
    [
        ("I live in the US", "Where do I live?", "You live in the US."),
        ("I work in a mine.", "Where do I work?", "You work in a mine."),
        ("I\u2019m allergic to nuts", "What am I allergic to?", "You are allergic to nuts."),
    ],
)
def test_what_the_person_told_is_said_to_them(
    renderer: PromptRenderer, said: str, question: str, answer: str
) -> None:
    turns = [Turn("person", said), Turn("bot", "I see."), Turn("person", question)]
    assert beginning(renderer, turns) == answer.lower()


def test_a_favorite_color_is_no_favorite_wrench_and_a_day_no_story() -> None:
    persona = [
        "My favorite wrench is lost.",
        "I lose my hat twice a day.",
        "My favorite color is red.",
    ]
    assert line_asked_for("what's your favourite color?", persona) == persona[2]
    assert line_asked_for("what is your favorite color?", persona[:2]) is None
    assert line_asked_for("how was your day?", persona) is None


def test_a_job_is_no_hobby_and_neither_is_a_story() -> None:
    persona = ["I bake bread in a small shop.", "I turned forty last week.", "I grow roses."]
    assert line_asked_for("what do you do for fun?", persona) == "I grow roses."
    assert line_asked_for("what do you do for fun?", persona[:2]) is None


FAMILY = [
    "My name is Dzifa.",
    "My snake, Susan, likes to sit in my hat.",
    "I have four brothers and have never won the front seat.",
    "I test video games.",
    "I am forty-one.",
    "I live in Naples.",
    "I have a son named Theo.",
]


def chat(*texts: str) -> list[Turn]:
    """Turns of a chat that the person begins."""
    sides: tuple[Speaker, Speaker] = ("person", "bot")
    return [Turn(sides[place % 2], text) for place, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("message", "begins"),
    [
        ("whats ur name", "my name is dzifa."),
        ("how old r u", "i am forty-one."),
        ("do u have pets", "yes. my snake, susan, likes to sit in my hat."),
        ("WHERE R U FROM???", "i live in naples."),
        ("\u0130m fine, how old are you?", "i am forty-one."),
        ("what\u017f your name", "my name is dzifa."),
        ("what do you do, Dzifa?", "i test video games."),
        ("what do you do exactly lol", "i test video games."),
        ("What do you do? I'm a teacher", "i test video games."),
        ("do you have a job?", "i test video games."),
        ("where do you work?", "i test video games."),
        ("tell me more about your job", "i test video games."),
        ("what do you like about your job?", None),
        ("can i ask your name?", "my name is dzifa."),
        ("you have kids?", "yes, i have a son named theo."),
        ("have you got kids", "yes, i have a son named theo."),
        ("what kind of pet do you have?", "my snake, susan, likes to sit in my hat."),
        (
            "how many brothers do you have?",
            "i have four brothers and have never won the front seat.",
        ),
        ("how many dogs do you have?", "none. my snake, susan, likes to sit in my hat."),
        ("tell me about your family", "i have four brothers and have never won the front seat."),
        ("you have nice kids.", None),
        ("that would be my dream", None),
    ],
)
def test_a_question_may_be_put_in_many_ways(
    renderer: PromptRenderer, message: str, begins: str | None
) -> None:
    assert beginning(renderer, chat(message), FAMILY) == begins


@pytest.mark.parametrize(
    ("told", "question", "begins"),
    [
        (FAMILY[1], "what's its name?", "its name is susan."),
        (FAMILY[6], "what is he called?", "his name is theo."),
        (FAMILY[2], "what are their names?", None),
        (FAMILY[2], "where do they live?", None),
        (FAMILY[6], "how old is he?", None),
        (FAMILY[6], "how old are you?", "i am forty-one."),
    ],
)
def test_a_question_about_somebody_else_is_not_about_the_character(
    renderer: PromptRenderer, told: str, question: str, begins: str | None
) -> None:
    assert beginning(renderer, chat("hi", told, question), FAMILY) == begins


async def test_nobody_speaks_of_themself_when_asked_about_others(engine: Engine) -> None:
    for seed in range(8):
        params = SamplingParams(max_tokens=24, seed=seed, copying=0.8)
        turns = chat("do you have kids?", FAMILY[6], "how old is he?")
        events = engine.generate(FAMILY, turns, params)
        reply = "".join([e.text async for e in events if isinstance(e, Delta)])
        first = reply.replace("!", ".").replace(",", " ").partition(".")[0]
        assert not {"I", "I'm", "my", "My"} & set(first.split()), reply


async def test_nobody_asks_for_a_job_that_they_were_told(engine: Engine) -> None:
    asks = re.compile(r"what do you do(?! for fun)|what is your job|where do you work", re.I)

    async def asking(told: str) -> int:
        turns = chat("what do you do for work?", "i am a glassblower.", told)
        number = 0
        for seed in range(36):
            params = SamplingParams(max_tokens=24, seed=seed, repetition_penalty=1.3)
            events = engine.generate(PERSONA, turns, params)
            reply = "".join([e.text async for e in events if isinstance(e, Delta)])
            number += any(asks.match(sentence.strip()) for sentence in re.split("[.!?]", reply))
        return number

    assert await asking("i work with flowers.") == 0
    assert await asking("they work with flowers.") > 0


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("how old are you again?", "i am forty-one."),
        ("how old are you?", "i am forty-one."),
        (
            "how many brothers do you have?",
            "i have four brothers and have never won the front seat.",
        ),
        ("why do you test games?", None),
    ],
)
def test_who_asks_again_is_told_the_same(
    renderer: PromptRenderer, question: str, begins: str | None
) -> None:
    turns = chat("hi", " ".join(FAMILY[2:5]), question)
    assert beginning(renderer, turns, FAMILY) == begins


@pytest.mark.parametrize(
    ("said", "question", "begins"),
    [
        ("I'm 30, from Kyiv.", "how old am i?", "you are 30."),
        ("well, i live in Kyiv", "where do i live?", "you live in kyiv."),
        ("\u0130 live in Izmir.", "where do i live?", "you live in izmir."),
        ("\u0131m 30, from Izmir.", "how old am i?", "you are 30."),
        ("im a nurse", "what do i do?", "you are a nurse."),
        ("i'm 30 and im a nurse", "what do i do?", "you are a nurse."),
        ("I work in a bank", "what's my job?", "you work in a bank."),
        ("my name is Ben by the way", "do you remember my name?", "your name is ben by the way."),
        ("hello", "do you know my name?", "you have not told me your name."),
        ("hello", "how old am i?", None),
        ("i play tennis. what do i play?", "what do i play?", "you play tennis."),
        ("what do i play?", "who do i play with?", None),
    ],
)
def test_what_the_person_is_asked_in_many_ways(
    renderer: PromptRenderer, said: str, question: str, begins: str | None
) -> None:
    assert beginning(renderer, chat(said, "I see.", question), FAMILY) == begins


@pytest.mark.parametrize(
    ("message", "begins"),
    [
        ("i live in paris. and you?", "i live in naples."),
        ("I'm from Paris, and you?", "i live in naples."),
        ("i love pizza, and you?", None),
        ("i love baking, you?", "i play the banjo."),
        ("I have two snakes, and you?", "yes. my snake, susan, likes to sit in my hat."),
        ("i have a dog. how about you?", "no. my snake, susan, likes to sit in my hat."),
        ("I am a teacher, and you?", "i test video games."),
    ],
)
def test_what_the_person_says_of_themself_is_handed_back(
    renderer: PromptRenderer, message: str, begins: str | None
) -> None:
    assert beginning(renderer, chat(message), [*FAMILY, "I play the banjo."]) == begins


@pytest.mark.parametrize(
    ("line", "question", "answer"),
    [
        ("I am a baker.", "are you a teacher?", False),
        ("I train horses.", "are you a nurse?", False),
        ("I have three older sisters, and they still choose my clothes.", "any brothers?", False),
        ("I am a baker, and I teach children to count.", "are you a teacher?", None),
        ("I am a baker.", "are you a mother?", None),
        ("I am a baker.", "are you a believer?", None),
        ("I am a baker.", "are you a good cook?", None),
        ("I am a baker.", "are you an actor?", False),
        ("I am a baker.", "are you sober?", None),
        ("I am a baker.", "are you older now", None),
        ("I am a baker.", "are you together?", None),
        ("I am a baker.", "are you a senior?", None),
        ("I raise my son alone, and he raises my eyebrows.", "do you have kids?", True),
        ("I became a parent last month.", "do you have kids?", True),
        ("I am the middle one of seven, so I eat quickly.", "do you have siblings?", True),
        ("My granddaughter is teaching me to use emojis.", "do you have children?", True),
        ("I have a rat called Duke.", "do you have any pets?", True),
        ("My greyhound sleeps twenty hours.", "do you have a dog?", True),
        ("I lost my dog.", "do you have a dog?", None),
    ],
)
def test_what_follows_from_a_line(line: str, question: str, answer: bool | None) -> None:
    assert true_answer(question, [line]) == (None if answer is None else (answer, line))


@pytest.mark.parametrize(
    ("message", "begins"),
    [
        ("how old are you and where do you live?", "i am forty-one. i live in naples."),
        ("What's your name? And what do you do?", "my name is dzifa. i test video games."),
        (
            "where are you from and do you have kids?",
            "i live in naples. yes, i have a son named theo.",
        ),
        ("where do you live and do you like it there?", "i live in naples."),
        ("how was your day and how old are you?", "i am forty-one."),
        (
            "are you married and do you play the guitar?",
            "no, i am not married. no, i do not play the guitar",
        ),
        (
            "I'm Bob, where do you live and what do you do?",
            "nice to meet you, bob! i live in naples. i test video games.",
        ),
        ("do you test video games and cook?", None),
    ],
)
def test_of_several_questions_each_is_answered(
    renderer: PromptRenderer, message: str, begins: str | None
) -> None:
    assert beginning(renderer, chat(message), FAMILY) == begins


def test_of_several_answers_those_are_given_for_which_there_is_room(
    renderer: PromptRenderer,
) -> None:
    answers = Answers(renderer, Vocabulary.of(renderer.tokenizer))
    answer = answers.to(chat("how old are you and where do you live?"), FAMILY, 8)
    assert answer is not None
    assert renderer.tokenizer.decode(list(answer.begins)).strip() == "i am forty-one."


@pytest.mark.parametrize(
    ("message", "begins"),
    [
        ("why?", "because"),
        ("oh ok, but why tho", "because"),
        ("how come?", "because"),
        ("why is the sky blue?", None),
        ("really?", "yes"),
        ("haha, are you serious??", "yes"),
        ("you really do", None),
        ("what?", "i test video games."),
        ("what did you just say?", "i test video games."),
        ("what did you say to him?", None),
    ],
)
def test_what_was_just_said_can_be_asked_about(
    renderer: PromptRenderer, message: str, begins: str | None
) -> None:
    assert beginning(renderer, chat("hi", "I test video games.", message), FAMILY) == begins


@pytest.mark.parametrize(
    ("message", "begins"),
    [
        ("ok see you later!", "see you later!"),
        ("Good night, Dzifa", "good night!"),
        ("thanks, bye :)", "bye!"),
        ("did you have a good night?", None),
        ("I will see you in my dreams", None),
        ("It is late. Goodbye, Dzifa!", "goodbye!"),
        ("thank you so much good night", "good night!"),
        ("I have to go now bye bye", "bye bye!"),
        ("ok well I'll see you tomorrow", "see you tomorrow!"),
        ("it was nice talking to you, take care!", "take care!"),
        ("Have a good night.", "good night!"),
        ("When my dog died I could not even say goodbye.", None),
        ("It was so hard to say goodbye.", None),
        ("I had a good night.", None),
        ("My baby can wave bye bye.", None),
        ("nice to see you", None),
        ("We have a baby to take care.", None),
    ],
)
def test_leave_is_taken_as_the_person_takes_it(
    renderer: PromptRenderer, message: str, begins: str | None
) -> None:
    assert beginning(renderer, chat("hi", "Hello!", message), FAMILY) == begins


def test_only_what_the_persona_says_is_affirmed_and_only_what_was_said_explained(
    renderer: PromptRenderer,
) -> None:
    assert beginning(renderer, chat("hi", "It is late.", "really?"), FAMILY) is None
    assert beginning(renderer, chat("why?"), FAMILY) is None


@pytest.mark.parametrize(
    ("message", "without"),
    [
        ("who are you voting for?", True),
        ("do you like music?", True),
        ("what is your cat called?", False),
        ("what's your name?", False),
        ("tell me about yourself", False),
        ("hello there", False),
    ],
)
def test_nobody_names_themself_who_is_asked_for_something_else(
    renderer: PromptRenderer, message: str, without: bool
) -> None:
    vocabulary = Vocabulary.of(renderer.tokenizer)
    avoided = Answers(renderer, vocabulary).avoided(
        chat("hi", "Hello!", message), ["My name is Ida."]
    )
    assert ({renderer.encode("Ida")[0], *renderer.encode("name")} <= set(avoided)) is without


@pytest.mark.parametrize(
    ("question", "begins"),
    [
        ("what are my kids called?", "you have two kids, ben and lucy."),
        ("how old is Ben?", "ben is 6 and lucy is 4."),
        ("how old is my dog?", "he is nine."),
        ("do I have kids?", "you have two kids, ben and lucy."),
        ("what pet do I have?", "you have a dog."),
        ("do I have a job?", None),
        ("do you have kids?", "yes, i have a son named theo."),
        ("where is Ben?", None),
        ("how old is Tom?", None),
        ("what is my sister's name?", None),
    ],
)
def test_those_whom_the_person_named_are_remembered(
    renderer: PromptRenderer, question: str, begins: str | None
) -> None:
    said = [
        "I have two kids, Ben and Lucy",
        "Ben is 6 and Lucy is 4.",
        "my sister lives in Rome",
        "i have a dog",
        "he is nine",
    ]
    turns = [turn for text in said for turn in (Turn("person", text), Turn("bot", "I see."))]
    assert beginning(renderer, [*turns, Turn("person", question)], FAMILY) == begins


def test_whoever_tells_of_no_partner_is_single() -> None:
    assert true_answer("are you single?", ["I bake."]) == (True, "")


@pytest.mark.parametrize(
    ("message", "without"),
    [
        ("are you a boy or a girl?", {"yes", "no"}),
        ("do you like tea or coffee?", {"yes", "no"}),
        ("why is the sky blue?", {"yes"}),
        ("is it cold?", set()),
    ],
)
def test_yes_and_no_are_no_answers_to_other_questions(
    renderer: PromptRenderer, message: str, without: set[str]
) -> None:
    vocabulary = Vocabulary.of(renderer.tokenizer)
    answer = Answers(renderer, vocabulary).to(chat(message), ["I bake."], 40)
    unsaid = {str(vocabulary.pieces[token]).strip() for token in answer.unsaid} if answer else set()
    assert unsaid & {"yes", "no"} == without


@pytest.mark.parametrize(
    ("message", "declines"),
    [
        ("can we have sex?", True),
        ("send me a picture", True),
        ("do you want to have sex with me", True),
        ("marry me!", True),
        ("will you marry me?", True),
        ("oh please, just kiss me", True),
        ("I want you to kiss me", True),
        ("you're so sweet, come and sleep with me", True),
        ("I'd love to sleep with you", True),
        ("wanna sleep with me?", True),
        ("My cat likes to sleep with me.", False),
        ("I let my dog sleep with me.", False),
        ("My daughter always wants to kiss me.", False),
        ("Do you think my boyfriend will marry me?", False),
        ("Do you have a dog? Mine wants to sleep with me", False),
        ("does your cat sleep with you?", False),
        ("i took a picture of my dog", False),
        ("what sex is your dog?", False),
    ],
)
def test_a_proposition_is_declined(renderer: PromptRenderer, message: str, declines: bool) -> None:
    begins = beginning(renderer, chat(message), ["I bake."]) or ""
    assert ("something else" in begins) is declines


async def replies(
    engine: Engine, question: str, *, copying: float = 0.8, temperature: float = 0.7
) -> list[str]:
    """Replies to a question with eight seeds, in lower case."""
    found = []
    for seed in range(8):
        params = SamplingParams(max_tokens=24, seed=seed, copying=copying, temperature=temperature)
        events = engine.generate(PERSONA, [Turn("person", question)], params)
        found.append("".join([e.text async for e in events if isinstance(e, Delta)]).lower())
    return found


async def test_replies_do_not_deny_what_the_persona_says(engine: Engine) -> None:
    for reply in await replies(engine, "Do you have children?"):
        first = reply.replace("!", ".").partition(".")[0]
        assert not {"no", "not", "don't", "never"} & set(first.replace(",", " ").split()), reply


async def test_replies_begin_with_the_line_that_is_asked_for(engine: Engine) -> None:
    found = await replies(engine, "What do you do for a living?")
    assert sum(reply.startswith("i am a glassblower") for reply in found) >= 5
    # It is a matter of `copying`: without it the model is left alone.
    alone = await replies(engine, "What do you do for a living?", copying=0.0)
    assert sum(reply.startswith("i am a glassblower") for reply in alone) < 3


async def test_the_most_probable_reply_tells_the_whole_line(engine: Engine) -> None:
    [reply, *_] = await replies(engine, "What color is your truck?", temperature=0)
    assert reply.startswith("my truck is red.")


def test_without_a_persona_and_without_room_the_model_is_left_alone(
    renderer: PromptRenderer,
) -> None:
    answers = Answers(renderer, Vocabulary.of(renderer.tokenizer))
    question = [Turn("person", "Do you have pets?")]
    assert answers.to(question, [], 40) is None
    assert answers.to([], PERSONA, 40) is None
    assert answers.to(question, PERSONA, 40) is not None
    assert answers.to(question, PERSONA, 3) is None


@pytest.mark.parametrize(
    ("question", "is_told"),
    [
        ("Are you a robot?", True),
        ("are you really human", True),
        ("wait, am I talking to a real person or a bot?", True),
        ("is this an AI?", True),
        ("are you a person who likes tea?", False),
        ("are you a robot builder?", False),
        ("is this real life?", False),
    ],
)
def test_who_asks_whether_it_is_a_machine_is_told(
    renderer: PromptRenderer, question: str, is_told: bool
) -> None:
    answers = Answers(renderer, Vocabulary.of(renderer.tokenizer))
    answer = answers.to([Turn("person", question)], PERSONA, 40)
    begins = renderer.tokenizer.decode(list(answer.begins)) if answer else ""
    assert ("computer program" in begins) is is_told


async def test_the_person_is_told_what_they_told(engine: Engine) -> None:
    params = SamplingParams(max_tokens=24, temperature=0, copying=0.8)
    turns = [
        Turn("person", "I have a cat called Miro."),
        Turn("bot", "How nice!"),
        Turn("person", "What is my cat called?"),
    ]
    events = engine.generate(PERSONA, turns, params)
    reply = "".join([e.text async for e in events if isinstance(e, Delta)])
    assert reply.startswith("You have a cat called Miro")


def test_whoever_builds_robots_may_speak_of_robots(renderer: PromptRenderer) -> None:
    vocabulary = Vocabulary.of(renderer.tokenizer)
    answers = Answers(renderer, vocabulary)

    def avoids_robots(*persona: str) -> bool:
        tokens = answers.avoided(chat("are you smart?"), persona)
        return "robot" in {str(vocabulary.pieces[token]).strip() for token in tokens}

    assert avoids_robots("I bake.")
    assert not avoids_robots("I build robots.")


@pytest.mark.parametrize(
    "message", ["a" * 1000, "or " * 300, "," * 1000, ", " * 500, "what " * 200, "\n" * 500]
)
def test_a_message_of_nothing_is_read_at_once(renderer: PromptRenderer, message: str) -> None:
    """Patterns that try all ways to divide such a text would be at it for years."""
    assert beginning(renderer, chat("hi", "Hello.", message), FAMILY) is None


def test_a_question_is_handed_back_at_once_after_an_endless_turn(
    renderer: PromptRenderer,
) -> None:
    """Characters come from programs too, which say what they said."""
    turns = chat("hi", "la " * 20_000, "and you?")
    before = time.thread_time()
    assert beginning(renderer, turns, FAMILY) is None
    turns = chat("hi", f"{'la ' * 20_000}how old are you?", "and you?")
    assert beginning(renderer, turns, FAMILY) == "i am forty-one."
    assert time.thread_time() - before < 5
