"""Dialogues come in from every format; what is damaged is named and skipped."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from tests.training.tiny import dialogue_row, write_rows
from training.data.dialogue import Damage
from training.data.readers import read_dialogues
from training.errors import DataError

HUGGING_FACE = {
    "train": [
        {
            "personality": ["i have a dog.", "i am a nurse."],
            "utterances": [
                {"history": ["hi !"], "candidates": ["wrong one .", "hello !"]},
                {
                    "history": ["hi !", "hello !", "any pets ?"],
                    "candidates": ["no way .", "blue .", "yes , a dog ."],
                },
            ],
        }
    ]
    * 3,
    "valid": [
        {
            "personality": ["i sail."],
            "utterances": [{"history": ["ahoy"], "candidates": ["x", "ahoy !"]}],
        }
    ],
}
PARLAI = """\
1 your persona: i have a dog.
2 partner's persona: i like tea.
3 hi !\thello !\t\twrong|hello !
4 any pets ?\tyes , a dog .\t\tno|yes , a dog .
1 your persona: i sail.
2 ahoy\tahoy !
"""


def test_json_lines_plain_and_gzipped(tmp_path: Path) -> None:
    plain = write_rows(tmp_path / "a.jsonl", [dialogue_row(), dialogue_row()])
    zipped = tmp_path / "a.jsonl.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, zipped):
        first, second = read_dialogues(path)
        assert first == second
        assert first.personas[1] == ("I have a dog named Rex.", "I am a nurse.")
        assert [turn.speaker for turn in first.turns_for(1)] == ["person", "bot"] * 2


def test_personachat_as_hugging_face_has_it(tmp_path: Path) -> None:
    path = tmp_path / "personachat.json"
    path.write_text(json.dumps(HUGGING_FACE))
    dialogues = list(read_dialogues(path))
    assert len(dialogues) == 3
    assert dialogues[0].turns == ("hi !", "hello !", "any pets ?", "yes , a dog .")
    assert dialogues[0].personas == ((), ("i have a dog.", "i am a nurse."))
    assert dialogues[0].wrong_for(3) == ("no way .", "blue .")
    assert dialogues[0].wrong_for(2) == ()


def test_personachat_holds_what_is_trained_on_and_what_is_measured_with(tmp_path: Path) -> None:
    path = tmp_path / "personachat.json.gz"
    reordered = {"valid": HUGGING_FACE["valid"], "train": HUGGING_FACE["train"]}
    path.write_bytes(gzip.compress(json.dumps(reordered, indent=1).encode()))
    assert len(list(read_dialogues(path))) == 3
    assert len(list(read_dialogues(path, split="valid"))) == len(HUGGING_FACE["valid"])
    path.write_bytes(gzip.compress(json.dumps({"train": HUGGING_FACE["train"]}).encode()))
    with pytest.raises(DataError, match="no dialogues under 'valid'"):
        list(read_dialogues(path, split="valid"))


def test_personachat_as_one_list_and_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "personachat.json"
    text = json.dumps(HUGGING_FACE["train"])
    path.write_text(text)
    assert len(list(read_dialogues(path))) == 3
    path.write_text(text[:-20])
    with pytest.raises(DataError, match="after 2 dialogues"):
        list(read_dialogues(path))


def test_parlai_text(tmp_path: Path) -> None:
    path = tmp_path / "train_both_original.txt"
    path.write_text(PARLAI)
    first, second = read_dialogues(path)
    assert first.personas == (("i like tea.",), ("i have a dog.",))
    assert first.turns == ("hi !", "hello !", "any pets ?", "yes , a dog .")
    assert first.wrong_for(3) == ("no",)
    assert second.turns == ("ahoy", "ahoy !")


def test_silence_first_says_that_the_other_one_opens(tmp_path: Path) -> None:
    opened = {
        "personality": ["i sail."],
        "utterances": [
            {"history": ["__ SILENCE __"], "candidates": ["x", "ahoy !"]},
            {"history": ["__ SILENCE __", "ahoy !", "hi ."], "candidates": ["y", "well ?"]},
        ],
    }
    hugging_face = tmp_path / "personachat.json"
    hugging_face.write_text(json.dumps({"train": [opened]}))
    parlai = tmp_path / "train_self_original.txt"
    parlai.write_text(
        "1 your persona: i sail.\n2 __SILENCE__\tahoy !\t\tx|ahoy !\n3 hi .\twell ?\t\ty|well ?\n"
    )
    for path in (hugging_face, parlai):
        [dialogue] = read_dialogues(path)
        assert dialogue.personas == (("i sail.",), ())
        assert dialogue.turns == ("ahoy !", "hi .", "well ?")
        assert [dialogue.wrong_for(turn) for turn in range(3)] == [("x",), (), ("y",)]
        assert dialogue.replies == ("ahoy !", "well ?")


def test_one_turn_after_silence_is_no_dialogue(tmp_path: Path) -> None:
    path = tmp_path / "train_self_original.txt"
    path.write_text(PARLAI + "1 your persona: i sail.\n2 __SILENCE__\tahoy !\n")
    damage = Damage(str(path))
    assert len(list(read_dialogues(path, damage))) == 2
    assert "two turns" in str(damage)


def test_the_written_dialogues() -> None:
    """Those that come with the project: each has two personas, and the second has the last word."""
    damage = Damage("written")
    dialogues = list(read_dialogues("written", damage))
    assert not damage.lines
    assert len({dialogue.turns for dialogue in dialogues}) == len(dialogues) > 1000
    assert all(all(dialogue.personas) for dialogue in dialogues)
    assert all(len(dialogue.turns) % 2 == 0 for dialogue in dialogues)


def test_the_chitchat_package() -> None:
    dialogue = next(read_dialogues("chitchat"))
    assert dialogue.source == "chitchat"
    assert len(dialogue.turns) > 1


def test_damaged_lines_are_counted_by_number(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps(dialogue_row())
    bad = [json.dumps(dialogue_row(turns=["a", " "])), "{", json.dumps({"turns": ["a", "b"]})]
    path.write_text("\n".join([good, bad[0], good, bad[1], bad[2], good]))
    damage = Damage(str(path))
    assert len(list(read_dialogues(path, damage))) == 3
    assert sorted(damage.lines) == [2, 4, 5]
    assert "line 5: no field personas" in str(damage)


def test_what_nobody_answered_is_no_damage(tmp_path: Path) -> None:
    """Half of the chats that a site has may be one turn long."""
    alone = [dialogue_row(turns=turns) for turns in ([], ["only one"])] * 60
    path = write_rows(tmp_path / "a.jsonl", [*alone, dialogue_row()])
    damage = Damage(str(path))
    assert len(list(read_dialogues(path, damage))) == 1
    assert not damage.lines
    with pytest.raises(DataError, match="holds no dialogue that can be used"):
        list(read_dialogues(write_rows(path, alone)))


def test_bytes_that_are_no_text_damage_their_line_only(tmp_path: Path) -> None:
    good = json.dumps(dialogue_row()).encode()
    lines = b"\n".join([good, good.replace(b"tea", b"caf\xe9"), good])
    plain, zipped = tmp_path / "a.jsonl", tmp_path / "a.jsonl.gz"
    plain.write_bytes(lines)
    zipped.write_bytes(gzip.compress(lines))
    parlai = tmp_path / "a.txt"
    parlai.write_bytes(PARLAI.replace("hello !\t\t", "h\xe9 !\t\t").encode("latin-1"))
    for path, number, left in ((plain, 2, 2), (zipped, 2, 2), (parlai, 3, 1)):
        damage = Damage(str(path))
        assert len(list(read_dialogues(path, damage))) == left
        assert damage.lines == {number: "cannot be read as UTF-8"}


def test_a_line_too_deep_to_be_read_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("[" * 100_000 + "\n" + json.dumps(dialogue_row()))
    damage = Damage(str(path))
    assert len(list(read_dialogues(path, damage))) == 1
    assert list(damage.lines) == [1]


def test_too_much_damage_stops_with_the_first_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("[]\n" * 10)
    with pytest.raises(DataError, match=r"more than 3 damaged lines .*line 1, not a JSON object"):
        list(read_dialogues(path, Damage(str(path), limit=3)))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.csv", b"", "must end in .jsonl, .json, .txt"),
        ("a.jsonl", b"", "no dialogue"),
        ("a.jsonl.gz", b"not gzip", "cannot be read"),
        # The first block after the header is of a kind that there is not.
        ("a.jsonl.gz", gzip.compress(b"{}", mtime=0)[:10] + b"\x07" * 20, "invalid block type"),
        ("a.json", b'{"valid": []}', "no dialogues under 'train'"),
        ("a.json", b'{"train": [{"personality"', "after 0 dialogues: .*EOF"),
        ("a.txt", b"\xff\xfe", "cannot be read"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=reason):
        list(read_dialogues(path))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        list(read_dialogues(tmp_path / "a.jsonl"))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", json.dumps(dialogue_row()) + "\r\n" + json.dumps(dialogue_row()) + "\r\n"),
        ("a.json", json.dumps(HUGGING_FACE)),
        ("list.json", json.dumps(HUGGING_FACE["train"])),
        ("a.txt", PARLAI),
    ],
)
def test_a_byte_order_mark_is_no_damage(
    tmp_path: Path, name: str, text: str, *, zipped: bool
) -> None:
    """As Windows writes text."""
    plain, marked = tmp_path / name, tmp_path / f"marked.{name}"
    plain.write_bytes(text.encode())
    data = text.encode("utf-8-sig")
    if zipped:
        marked = marked.with_name(f"{marked.name}.gz")
        data = gzip.compress(data)
    marked.write_bytes(data)
    damage = Damage("marked")
    assert list(read_dialogues(marked, damage)) == list(read_dialogues(plain))
    assert not damage.lines
