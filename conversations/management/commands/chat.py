"""`manage.py chat`: talk to a character in the terminal."""

from __future__ import annotations

import asyncio
import sys
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from django.core.management.base import CommandError

from conversations.management.base import ManualCommand, whole_number
from conversations.services.engine import engine
from conversations.services.errors import MessageInvalid, ServiceError
from conversations.services.persona_choice import PersonaUnclear, persona_choose
from conversations.services.texts import text_clean
from inference.errors import BundleError

STRANGER = "Stranger"
COMMANDS = """\
/who     who you are talking to
/reset   start again with another character
/help    these lines
/quit    leave (so does Ctrl-D); Ctrl-C stops a reply
"""


class Command(ManualCommand):
    help = """Talks to a character in the terminal. The reply appears as it is generated.

The conversation is saved like any other (channel "terminal" in the admin) unless --no-save is
given. While chatting: /who, /reset, /help, /quit; Ctrl-C stops a reply, Ctrl-D leaves.

examples:
  manage.py chat
  manage.py chat --persona "Kwame Mensah" --seed 7
  printf 'hi\\nwhat do you do?\\n' | manage.py chat --no-save     one reply a line, nothing else"""

    # What the checks would warn of in many lines is one line when it matters here.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--persona",
            default="random",
            metavar="ID|NAME|random",
            help="whom to talk to: a character's number or name (default: random)",
        )
        parser.add_argument(
            "--seed",
            type=whole_number,
            metavar="N",
            help="draw character and replies so that the same chat can be had again",
        )
        parser.add_argument("--no-save", action="store_true", help="write nothing to the database")

    def run(self, **options: Any) -> None:
        # What a reply needs is imported only now, so that --help answers at once.
        from conversations.terminal import SavedChat, UnsavedChat

        try:
            persona = persona_choose(wanted=options["persona"], seed=options["seed"])
            engine().load()
            self.chat = (UnsavedChat if options["no_save"] else SavedChat)(persona, options["seed"])
        except (BundleError, PersonaUnclear, ServiceError) as error:
            raise CommandError(str(error)) from error
        self.is_person = sys.stdin.isatty()
        self.name = STRANGER if options["persona"] == "random" else persona.name
        self.say("Say hello. /help lists what else you can do.\n\n")
        try:
            with asyncio.Runner() as self.loop:
                while self.step():
                    pass
        finally:
            engine().close()

    def step(self) -> bool:
        """One line and what it wants; False to leave."""
        try:
            line = self.line()
            return line is not None and self.obey(line.strip())
        except MessageInvalid as error:
            self.complain(error.detail)
        except ServiceError as error:
            raise CommandError(error.detail) from error
        except KeyboardInterrupt:
            # While a reply streams Ctrl-C stops it; at any other moment it ends up here.
            if not self.is_person:
                sys.exit(130)
            self.say("\n(Ctrl-D or /quit leaves)\n")
        return True

    def line(self) -> str | None:
        """What is typed, or what comes through the pipe; None at the end."""
        if not self.is_person:
            return sys.stdin.readline() or None
        import readline  # noqa: F401 - gives input() editing and a history

        try:
            return input("You: ")
        except EOFError:
            self.say("\n")
            return None

    def obey(self, line: str) -> bool:
        """Do what a line wants; False to leave."""
        match line.lower():
            case "":
                pass
            case "/quit" | "/exit":
                return False
            case "/help":
                self.stdout.write(COMMANDS)
            case "/who":
                self.show_character()
            case "/reset":
                self.chat.reset()
                self.name = STRANGER
                self.stdout.write("Somebody else is here now.")
            case command if command.startswith("/") and " " not in command:
                self.complain(f"There is no {command}; /help lists what there is.")
            case _:
                self.loop.run(self.print_reply(self.chat.send(line)))
        return True

    def show_character(self) -> None:
        persona = self.chat.reveal()
        self.name = text_clean(text=persona.name)
        self.stdout.write(f"{self.name} (number {persona.pk})")
        for text in persona.lines:
            self.stdout.write(f"  {text_clean(text=text)}")

    async def print_reply(self, pieces: AsyncIterator[str]) -> None:
        from conversations.terminal import ReplyFailed

        self.say(f"{self.name}: ")
        failure = ""
        async with aclosing(pieces):  # type: ignore[type-var]
            try:
                async for piece in pieces:
                    # Whatever the model says, it does not steer the terminal.
                    text = text_clean(text=piece)
                    text = text if self.is_person else text.replace("\n", " ")
                    self.stdout.write(text, ending="")
                    self.stdout.flush()
            except ReplyFailed as error:
                failure = str(error)
        self.stdout.write("")
        if failure:
            self.complain(failure)

    def say(self, text: str) -> None:
        """Words for a person; a pipe gets replies only."""
        if self.is_person:
            self.stdout.write(text, ending="")
            self.stdout.flush()

    def complain(self, text: str) -> None:
        if not self.is_person:
            raise CommandError(text)
        self.stderr.write(text)
