"""export_conversations and import_conversations: the file, what is left out of it, the way back."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from conversations.models import Channel, Conversation, Message, Persona, Role, Status
from conversations.services.persona_edits import persona_save
from conversations.services.texts import text_mask

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]

LINES = ["I drive a night bus.", "My cat hates boats."]


def conversation_make(persona: Persona, *texts: str, **fields: Any) -> Conversation:
    conversation = Conversation.objects.create(
        persona=persona, **({"channel": Channel.WEB} | fields)
    )
    question = None
    for place, text in enumerate(texts):
        message = Message.objects.create(
            conversation=conversation,
            role=Role.BOT if place % 2 else Role.USER,
            text=text,
            reply_to=question if place % 2 else None,
        )
        question = message
    return conversation


def export(path: Path, **options: Any) -> list[dict[str, Any]]:
    call_command("export_conversations", str(path), stdout=StringIO(), **options)
    data = path.read_bytes()
    text = gzip.decompress(data).decode() if data[:2] == b"\x1f\x8b" else data.decode()
    return [json.loads(line) for line in text.splitlines()]


def turns_of(dialogues: list[dict[str, Any]]) -> set[str]:
    return {dialogue["turns"][0] for dialogue in dialogues}


def import_(path: Path) -> dict[str, Any]:
    out = StringIO()
    call_command("import_conversations", str(path), json=True, stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


class TestExport:
    def test_the_format(self, persona: Persona, tmp_path: Path) -> None:
        conversation_make(persona, "hi ünd 你好", "hello there .", "bye", "see you .")
        assert export(tmp_path / "x.jsonl") == [
            {
                "source": "chat/web",
                "personas": [[], LINES],
                "turns": ["hi ünd 你好", "hello there .", "bye", "see you ."],
            }
        ]

    def test_nothing_leads_to_a_person(self, persona: Persona, tmp_path: Path) -> None:
        from django.contrib.auth.models import User

        conversation = conversation_make(
            persona,
            "mail ann.b+c@mail.example.org or ring (030) 901-820 555",
            "see www.example.org/ann?x=1 .",
            user=User.objects.create_user("ann-the-user"),
            browser_key="k" * 32,
            title="about Ann",
        )
        export(tmp_path / "x.jsonl")
        text = (tmp_path / "x.jsonl").read_text()
        assert "mail [email] or ring [phone]" in text
        assert "see [link] ." in text
        for secret in ("ann", "Ann", "kkkk", str(conversation.pk), conversation.pk.hex, "20"):
            assert secret not in text

    def test_replies_that_failed_are_left_out_and_turns_still_alternate(
        self, persona: Persona, tmp_path: Path
    ) -> None:
        conversation = conversation_make(persona, "hi", "", "hello?", "I am here .", "good", "")
        conversation.messages.filter(text="").update(status=Status.FAILED)
        assert export(tmp_path / "x.jsonl")[0]["turns"] == ["hi\nhello?", "I am here .", "good"]

    def test_what_is_still_being_written_is_left_out(
        self, persona: Persona, tmp_path: Path
    ) -> None:
        conversation = conversation_make(persona, "hi", "I am")
        conversation.messages.filter(role=Role.BOT).update(status=Status.STREAMING)
        assert export(tmp_path / "x.jsonl")[0]["turns"] == ["hi"]

    def test_conversations_without_words_are_left_out(
        self, persona: Persona, tmp_path: Path
    ) -> None:
        conversation_make(persona)
        assert export(tmp_path / "x.jsonl") == []

    def test_filters(self, persona: Persona, tmp_path: Path) -> None:
        def at(day: int) -> datetime:
            return datetime(2026, 5, day, 12, tzinfo=UTC)

        conversation_make(persona, "first", "a", created_at=at(1))
        conversation_make(persona, "second", "a", created_at=at(2), channel=Channel.SMS)
        liked = conversation_make(persona, "third", "a", created_at=at(3), channel=Channel.API)
        liked.messages.filter(role=Role.BOT).update(feedback=1)

        def found(*arguments: str) -> set[str]:
            return turns_of(_export_with(tmp_path, *arguments))

        assert found() == {"first", "second", "third"}
        assert found("--since", "2026-05-02") == {"second", "third"}
        assert found("--until", "2026-05-02") == {"first", "second"}
        assert found("--until", "2026-05-02T11:59") == {"first"}
        assert found("--since", "2026-05-02", "--until", "2026-05-02") == {"second"}
        assert found("--channel", "sms", "--channel", "api") == {"second", "third"}
        assert found("--feedback", "up") == {"third"}
        assert found("--feedback", "down") == set()
        assert found("--feedback", "any") == {"third"}

    @pytest.mark.parametrize(
        ("option", "day", "zone"),
        [("--until", "9999-12-31", "America/New_York"), ("--since", "0001-01-01", "Asia/Tokyo")],
    )
    def test_a_day_that_is_beyond_the_calendar_is_refused(
        self, tmp_path: Path, option: str, day: str, zone: str
    ) -> None:
        with timezone.override(zone), pytest.raises(CommandError, match=f"{day}' is not a date"):
            call_command("export_conversations", str(tmp_path / "x.jsonl"), option, day)

    def test_gzip_by_name_or_by_wish_and_always_the_same_bytes(
        self, persona: Persona, tmp_path: Path
    ) -> None:
        conversation_make(persona, "hi", "hello")
        assert export(tmp_path / "a.jsonl.gz") == export(tmp_path / "b.jsonl", gzip=True)
        assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl").read_bytes()

    def test_standard_output_and_report_beside_it(
        self, persona: Persona, capsys: pytest.CaptureFixture[str]
    ) -> None:
        conversation_make(persona, "hi", "hello")
        call_command("export_conversations", "-", json=True)
        captured = capsys.readouterr()
        assert json.loads(captured.out)["turns"] == ["hi", "hello"]
        assert json.loads(captured.err.splitlines()[-1]) == {
            "output": "-",
            "conversations": 1,
            "turns": 2,
        }

    def test_a_file_is_replaced_only_when_asked(self, persona: Persona, tmp_path: Path) -> None:
        path = tmp_path / "x.jsonl"
        path.write_text("precious")
        with pytest.raises(CommandError, match="is there already; --force replaces it"):
            export(path)
        assert path.read_text() == "precious"
        assert export(path, force=True) == []
        assert list(tmp_path.iterdir()) == [path]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["no/such/folder/x.jsonl"], "cannot be written: No such file or directory"),
            (["x", "--since", "yesterday"], "'yesterday' is not a date or time"),
            (["x", "--since", "2026-02-30"], "'2026-02-30' is not a date or time"),
            (["x", "--channel", "pigeon"], "invalid choice: 'pigeon'"),
        ],
    )
    def test_failures_are_one_line(self, arguments: list[str], message: str) -> None:
        with pytest.raises(CommandError, match=message):
            call_command("export_conversations", *arguments)


def _export_with(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    path = folder / "filtered.jsonl"
    call_command("export_conversations", str(path), "--force", *arguments, stdout=StringIO())
    return [json.loads(line) for line in path.read_text().splitlines()]


class TestImport:
    def file(self, folder: Path, *dialogues: object) -> Path:
        path = folder / "dialogues.jsonl"
        path.write_text("".join(json.dumps(each) + "\n" for each in dialogues))
        return path

    def dialogue(self, *turns: str, lines: list[str] | None = None) -> dict[str, Any]:
        mine = ["I sell hats."] if lines is None else lines
        return {"source": "x", "personas": [["I am a person."], mine], "turns": list(turns)}

    def test_a_dialogue_becomes_a_conversation(self, tmp_path: Path) -> None:
        path = self.file(tmp_path, self.dialogue("hi", "hello", "bye"), self.dialogue("yo", "hm"))
        report = import_(path)
        assert (report["added"], report["already_there"], report["characters"]) == (2, 0, 1)
        conversation = Message.objects.get(text="hi").conversation
        assert conversation.channel == Channel.IMPORT
        assert conversation.persona.lines == ["I sell hats."]
        assert not conversation.persona.is_active
        said = list(conversation.messages.order_by("id"))
        assert [(each.role, each.text) for each in said] == [
            (Role.USER, "hi"),
            (Role.BOT, "hello"),
            (Role.USER, "bye"),
        ]
        assert said[1].reply_to == said[0]
        assert Message.objects.get(text="yo").conversation != conversation

    def test_importing_twice_changes_nothing(self, tmp_path: Path) -> None:
        path = self.file(
            tmp_path,
            self.dialogue("ring 030 901820555", "no"),
            self.dialogue("ring 030 901820555", "no"),
            self.dialogue("a", "b", lines=[]),
        )
        assert import_(path)["added"] == 2
        again = import_(path)
        assert (again["added"], again["already_there"], again["characters"]) == (0, 3, 0)
        assert Conversation.objects.count() == 2

    @pytest.mark.parametrize("line", ["I sell hats.", "Mail hats@example.org."])
    def test_importing_again_after_the_character_was_edited_changes_nothing(
        self, tmp_path: Path, line: str
    ) -> None:
        path = self.file(tmp_path, self.dialogue("hi", "hello", lines=[line, "I am tall."]))
        import_(path)
        persona = Persona.objects.get()
        persona.lines = ["I sell shoes."]
        persona_save(persona=persona)
        assert import_(path)["already_there"] == 1
        export(tmp_path / "edited.jsonl")
        assert import_(tmp_path / "edited.jsonl")["already_there"] == 1
        assert Conversation.objects.count() == 1
        other = self.file(tmp_path, self.dialogue("hi", "who?", lines=[line, "I am tall."]))
        assert import_(other)["added"] == 1

    def test_what_was_exported_here_is_known(self, persona: Persona, tmp_path: Path) -> None:
        conversation_make(persona, "write to ann@example.org", "I will .", "ok", "")
        export(tmp_path / "x.jsonl.gz")
        assert import_(tmp_path / "x.jsonl.gz")["added"] == 0

    def test_another_installation_gets_the_same_file_back(
        self, persona: Persona, tmp_path: Path
    ) -> None:
        conversation_make(persona, "hi", "hello", "where are you?")
        first = export(tmp_path / "a.jsonl")
        Conversation.objects.all().delete()
        import_(tmp_path / "a.jsonl")
        second = export(tmp_path / "b.jsonl")
        assert [{**each, "source": ""} for each in first] == [
            {**each, "source": ""} for each in second
        ]
        assert Persona.objects.count() == 2

    def test_a_conversation_of_any_length_comes_back_whole(
        self, persona: Persona, tmp_path: Path
    ) -> None:
        texts = ["😀" * 1_000_000, "hello there ."]
        conversation_make(persona, *texts, "bye")
        export(tmp_path / "long.jsonl.gz")
        Conversation.objects.all().delete()
        assert import_(tmp_path / "long.jsonl.gz")["added"] == 1
        said = Message.objects.order_by("id").values_list("text", flat=True)
        assert list(said) == [*texts, "bye"]

    def test_a_line_without_end_is_not_read_to_its_end(self, tmp_path: Path) -> None:
        path = tmp_path / "disk"
        with path.open("wb") as stream:
            stream.truncate(100_000_000_000)  # takes no room
        with pytest.raises(CommandError, match="line 1: not JSON"):
            import_(path)

    @pytest.mark.parametrize("address", ["a@b.c", "a.io"])
    def test_a_character_whose_lines_are_longer_masked_comes_back(
        self, persona: Persona, tmp_path: Path, address: str
    ) -> None:
        persona.lines = [" ".join([address] * 40)[:200].strip(), f"{address} ".ljust(200, "x")]
        persona_save(persona=persona)
        conversation_make(persona, "hi", "hello")
        [dialogue] = export(tmp_path / "x.jsonl")
        assert all(len(line) > 200 for line in dialogue["personas"][1])
        assert import_(tmp_path / "x.jsonl")["already_there"] == 1
        Conversation.objects.all().delete()
        assert import_(tmp_path / "x.jsonl")["added"] == 1

    def test_texts_without_a_word_are_not_exported(self, persona: Persona, tmp_path: Path) -> None:
        conversation_make(persona, "hi", " ", "hello?", "\x1b", "bye", "see \x1byou .")
        [dialogue] = export(tmp_path / "x.jsonl")
        assert dialogue["turns"] == ["hi\nhello?\nbye", "see you ."]
        assert import_(tmp_path / "x.jsonl")["already_there"] == 1

    def test_a_number_told_in_two_texts_is_masked_and_known_again(
        self, persona: Persona, tmp_path: Path
    ) -> None:
        conversation_make(persona, "call 555", "", "123 4567", "I will .")
        [dialogue] = export(tmp_path / "x.jsonl")
        assert dialogue["turns"] == ["call [phone]", "I will ."]
        assert import_(tmp_path / "x.jsonl")["already_there"] == 1

    def test_control_characters_and_surrogates_are_left_out(self, tmp_path: Path) -> None:
        import_(self.file(tmp_path, self.dialogue("a\0b\x1b[31m\ud800\nc\t", "ok")))
        assert Message.objects.filter(text="ab[31m\nc\t").exists()

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", "line 2: not JSON"),
            ("[" * 100_000, "line 2: not JSON"),
            ("[]", "line 2: not an object with personas and turns"),
            ('{"turns": ["a"]}', 'line 2: "personas" must hold two lists'),
            ('{"personas": [[], "I"], "turns": ["a"]}', '"personas.1." must be a list of texts'),
            ('{"personas": [[], []], "turns": []}', '"turns" is empty'),
            ('{"personas": [[], []], "turns": ["a", " "]}', '"turns" has an empty text at place 1'),
            ('{"personas": [[], []], "turns": ["a", 1]}', "something other than a text at place 1"),
            ('{"personas": [[], []]}', '"turns" must be a list of texts'),
            (json.dumps({"personas": [[], ["x" * 201]], "turns": ["a"]}), "at most 200 characters"),
        ],
    )
    def test_a_mistake_is_named_and_nothing_is_imported(
        self, tmp_path: Path, line: str, message: str
    ) -> None:
        path = self.file(tmp_path, self.dialogue("hi", "hello"))
        path.write_text(path.read_text() + line + "\n")
        with pytest.raises(CommandError, match=message):
            import_(path)
        assert not Conversation.objects.exists()
        assert not Persona.objects.exists()

    def test_files_that_are_none(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="cannot be read: No such file"):
            import_(tmp_path / "missing.jsonl")
        with pytest.raises(CommandError, match="cannot be read: Is a directory"):
            import_(tmp_path)
        empty = tmp_path / "empty.jsonl"
        empty.write_text("\n\n")
        with pytest.raises(CommandError, match="holds no dialogues"):
            import_(empty)
        half = tmp_path / "half.gz"
        half.write_bytes(gzip.compress(json.dumps(self.dialogue("hi", "a" * 999)).encode())[:60])
        with pytest.raises(CommandError, match=r"half\.gz cannot be read"):
            import_(half)


class TestMask:
    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ("a@b.org", "[email]"),
            ("x.y+z@mail.example.co.uk!", "[email]!"),
            ("https://example.org/a?b=c#d and http://1.2.3.4:80", "[link] and [link]"),
            ("www.example.org", "[link]"),
            ("go to example.com/me now", "go to [link] now"),
            ("Example.COM.", "[link]."),
            ("+1 (415) 555-0123", "[phone]"),
            ("call 0049 30 901820 today", "call [phone] today"),
            ("415.555.0123", "[phone]"),
            ("my card: 4111 1111 1111 1111", "my card: [phone]"),
            ("5550123", "[phone]"),
        ],
    )
    def test_takes_out(self, text: str, masked: str) -> None:
        assert text_mask(text=text) == masked

    @pytest.mark.parametrize(
        "text",
        [
            "hello.how are you",
            "i have 12 cats and 3 dogs",
            "it costs 12,000 dollars",
            "on 2026-11-24 at 10:30",
            "born 24.11.1999",
            "room 101, floor 2",
            "3.14159",
            "a @ b",
            "in 1984 and 2001",
        ],
    )
    def test_leaves_alone(self, text: str) -> None:
        assert text_mask(text=text) == text

    @given(st.text(alphabet=st.sampled_from("ab1 0+()-./:@[]wcomhttps\n"), max_size=60))
    def test_masking_again_changes_nothing(self, text: str) -> None:
        once = text_mask(text=text)
        assert text_mask(text=once) == once
