"""What the line itself says, as against the characters. Each fits one GSM-7 segment."""

from __future__ import annotations

GREETING = "(A new character is on the line. Text /help for help.)"
RESET = "A new character is on the line. Say hello!"
HELP = (
    "You are texting with a made-up character. /who tells you who it is, /reset brings another. "
    "Text STOP to end."
)
UNKNOWN_COMMAND = "That command is not known here. There are /who, /reset and /help."
MEDIA = "I cannot open pictures or recordings here. Tell me about it in words?"
MEDIA_WITH_TEXT = "(I cannot open what you attached, but I read your words.)"
TOO_LONG = "That text was too long for me. Please send it in shorter parts."
LIMITED = {
    "number": "You text faster than I can answer. Give me a moment, then go on.",
    "day": "We have talked a lot today. Let us go on tomorrow.",
    "global": "Very many people are texting just now. Please try again in a little while.",
}
NOBODY = "Nobody is on the line just now. Please try again later."
NO_WORDS = "Sorry, I lost my words there. Say that again?"


def who(name: str, lines: list[str]) -> str:
    return f"You are talking to {name}. {' '.join(lines)}"
