"""What the person says that they are called."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# What stands with a capital after "I'm" and is no name.
_NO_NAME_WORDS = """
    German French Dutch Swiss Greek Thai Czech Turk Dane Swede Scot Korean Cuban Moroccan Texan
    Catholic Muslim Buddhist Hindu Sikh Atheist Vegan Latina Latino Black White Aries Taurus Gemini
    Cancer Leo Virgo Libra Scorpio Capricorn Aquarius Pisces Not So Very Just Also Really Fine Good
    Great Okay Ok Tired Happy Sad Sorry Bored Sick Glad Pretty Ready Single Married Here Back From
    In At New Gay Busy Hungry Serious Sure Alone Done Home I
    Adventist Afghan Afrikaner Agnostic Alaskan Anarchist Angolan Arab Arabic Argentine
    Argentinean Aussie Azerbaijani Azeri Bahraini Bangladeshi Baptist Basque Bedouin Bengali
    Berber Berliner Bosniak Briton Cajun Calvinist Canuck Catalan Centrist Chechen Chicagoan
    Chicana Chicano Chilean Communist Conservative Copt Coptic Creole Croat Cypriot Deist
    Democrat Druze Emirati European Evangelical Feminist Filipina Filipino Frenchman Frenchwoman
    Gaelic Guatemalan Gujarati Hasidic Hausa Hebrew Hispanic Hmong Honduran Humanist Icelander
    Icelandic Igbo Indigenous Inuit Iraqi Irishman Irishwoman Israeli Jain Jew Kashmiri Kazakh
    Kenyan Khmer Kiwi Kosovan Kurd Kuwaiti Kyrgyz Latin Latinx Leftist Liberal Libyan Londoner
    Lutheran Luxembourger Maasai Malagasy Malay Maori Marxist Mennonite Methodist Midwesterner
    Mohawk Moldovan Montenegrin Mormon Navajo Nepali Nordic Northerner Ohioan Omani Orthodox
    Pacifist Pagan Pakistani Paraguayan Pashtun Pentecostal Pole Progressive Protestant Punjabi
    Qatari Quaker Quebecer Quebecois Rasta Religious Romani Rwandan Salvadoran Samoan Satanist
    Saudi Scots Scotsman Secular Serb Shiite Shinto Sindhi Singaporean Slav Slavic Slovak
    Slovene Socialist Somali Southerner Spiritual Sunni Swazi Tajik Tamil Taoist Tatar Theist
    Tibetan Tongan Turkmen Tuscan Ugandan Uruguayan Uyghur Uzbek Venezuelan Welsh Welshman
    Wiccan Xhosa Yankee Yemeni Yoruba Zimbabwean Zionist Zulu Sagittarius Bisexual Straight
    Queer Trans Transgender Nonbinary Asexual Pansexual Deaf Blind Autistic Dyslexic Diabetic
    Disabled Divorced Engaged Widowed Pregnant Retired Unemployed
"""
_NAMES_IN_IAN = "Ian|Brian|Adrian|Julian|Vivian|Lilian|Damian|Sebastian|Fabian|Dorian|Gillian"
_NO_NAME = (
    rf"(?!(?:{'|'.join(_NO_NAME_WORDS.split())})\b)"
    rf"(?!\w+(?:ish|ese|ican|ing)\b)(?!(?!(?:{_NAMES_IN_IAN})\b)\w+ian\b)"
)
_ENDS = r"(?=\W*$|\s*[.,!?;:)]|\s+(?:from|and|but|by|whats?|who|how|nice|i)\b)"
_AFTER_I_AM = re.compile(
    r"\b(?:[Ii]'?m|[Ii] am|[Cc]all me)(?: called)? "
    rf"{_NO_NAME}(?P<name>[^\W\d_a-z][\w'-]*[^\W\d_A-Z]){_ENDS}"
)
_AFTER_NAME = re.compile(
    r"(?<!what )(?<!know )(?<!guess )\bmy name is "
    r"(?!(?:not|a|an|the|my|also|so|secret|irrelevant|long|none)\b)"
    rf"(?P<name>[^\W\d_][\w'-]*){_ENDS}",
    re.IGNORECASE,
)

# Whether a text speaks of what somebody is called.
NAMED = re.compile(r"\b(?:name|named|called)\b", re.IGNORECASE)
_ASKS_FOR_IT = re.compile(
    r"\b(?:what(?:'s| is| was)|(?:know|remember|recall|guess|forg[eo]t|tell me|say)(?: what)?)"
    r" my name\b"
    r"|\bwho am i\b|\bwhat am i called\b",
    re.IGNORECASE,
)

_UNMARKED = re.compile(
    r"\b(?P<before>i'?m|i am|call me|my name(?: is|'s)|this is) (?P<word>[a-z][a-z'-]+)\b",
    re.IGNORECASE,
)


def with_capital(text: str, names: Mapping[str, str]) -> str:
    """A text whose writer spares capitals, with that of the name that they tell: "hi im anna".
    `names` are words that are written with a capital, by their lower case."""

    def write(found: re.Match[str]) -> str:
        word = found["word"]
        return f"{found['before']} {names.get(word, word)}"

    return _UNMARKED.sub(write, text)


def name_told(text: str) -> str | None:
    """What somebody says in it that they are called; None where they do not say.

    After "I'm" a name is told by its capital and by what follows: "I'm Anna", "I'm Tom from
    Chicago", but not "I'm German" nor "I'm Tom's brother".
    """
    found = _AFTER_I_AM.search(text) or _AFTER_NAME.search(text)
    return found["name"] if found else None


def own_name(persona: Iterable[str]) -> str | None:
    """What the character is called, where a line says so."""
    return next((name for line in persona if (name := name_told(line))), None)


def asks_for_own_name(question: str) -> bool:
    """Whether somebody asks what they themself are called."""
    return _ASKS_FOR_IT.search(question) is not None
