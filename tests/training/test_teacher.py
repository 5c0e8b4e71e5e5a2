"""A larger model reads dialogues, and the small one learns what it would have said."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from tokenizers import Tokenizer, decoders, models

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
pytest.importorskip("keras")
pytest.importorskip("keras_hub")

from safetensors.numpy import save_file

from inference.prompt import PromptRenderer
from tests.training.tiny import (
    SMALL_RUN,
    dialogue_row,
    tiny_checkpoint,
    tiny_dialogues,
    tiny_tokenizer,
    write_rows,
)
from training.checkpoints.vocabulary import read_vocabulary
from training.data.readers import read_dialogues
from training.data.soft_targets import (
    DRAWS,
    END,
    UNASKED,
    ReadDialogue,
    SoftTargets,
    write_part,
)
from training.data.tokens import TokenDialogues, tokens_key
from training.errors import DataError
from training.report import RunReport
from training.run import config_from, run_training
from training.teacher.transcript import Scribe
from training.teacher.vocabulary import NOTHING, first_tokens
from training.trainer import prepare


@pytest.fixture(scope="module")
def pupil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("pupil") / "gpt2")


@pytest.fixture(scope="module")
def renderer(pupil: Path) -> PromptRenderer:
    return read_vocabulary(pupil).renderer(512)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with random weights, as the Hub would have it, whose words are not the pupil's."""
    directory = tmp_path_factory.mktemp("teacher") / "llama"
    directory.mkdir()
    tokenizer = tiny_tokenizer("Hi! I have a dog. What do you do? I am a nurse.", 300)
    tokenizer.save(str(directory / "tokenizer.json"))
    words, width, inner, heads, layers = tokenizer.get_vocab_size(), 16, 32, 2, 2
    config = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": words,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 1,
        "hidden_size": width,
        "intermediate_size": inner,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
    }
    (directory / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    shapes = {"model.embed_tokens": (words, width), "model.norm": (width,)}
    for layer in range(layers):
        block = f"model.layers.{layer}."
        shapes |= {
            block + "input_layernorm": (width,),
            block + "post_attention_layernorm": (width,),
            block + "self_attn.q_proj": (width, width),
            block + "self_attn.k_proj": (width // heads, width),
            block + "self_attn.v_proj": (width // heads, width),
            block + "self_attn.o_proj": (width, width),
            block + "mlp.gate_proj": (inner, width),
            block + "mlp.up_proj": (inner, width),
            block + "mlp.down_proj": (width, inner),
        }
    weights = {
        f"{name}.weight": random.normal(0, 0.2, shape).astype(np.float32) + ("norm" in name)
        for name, shape in shapes.items()
    }
    save_file(
        {name: array.astype(np.float32) for name, array in weights.items()},
        directory / "model.safetensors",
    )
    return directory


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tiny_dialogues(tmp_path / "data.jsonl", 12)


def ask(teacher: Path, pupil: Path, data: Path, out: Path, **options: Any) -> dict[str, Any]:
    stdout = StringIO()
    call_command(
        "ask_teacher",
        "--json",
        teacher=str(teacher),
        checkpoint=str(pupil),
        data=[(str(data), 1.0)],
        out=out,
        **{"minutes": 1.0, "batch_tokens": 1280, **options},
        stdout=stdout,
        stderr=StringIO(),
    )
    result: dict[str, Any] = json.loads(stdout.getvalue())
    return result


def draws_of(tokens: TokenDialogues, number: int, token: int | None = None) -> np.ndarray:
    """The draws of a teacher who always says `token`, or what was said."""
    rows = [row for turn in tokens[number].turns for row in (*turn, END)]
    said = np.array(rows if token is None else [token] * len(rows), np.uint16)
    return np.repeat(said[:, None], DRAWS, axis=1)


def test_a_teacher_is_asked_at_every_word_and_the_pupil_learns_it(
    teacher: Path, pupil: Path, data: Path, tmp_path: Path, renderer: PromptRenderer
) -> None:
    result = ask(teacher, pupil, data, tmp_path / "soft")
    assert result["dialogues"] == 12
    targets = SoftTargets.open(tmp_path / "soft")
    assert len(targets.draws) == 1 + result["rows"]
    read = TokenDialogues.of(read_dialogues(data), renderer)
    asked = targets.draws[1:, 0] != UNASKED
    assert asked.mean() > 0.7
    assert (targets.draws[1:][asked] <= END).all()
    assert len(set(targets.draws[1:][asked].ravel().tolist())) > 50
    assert result["rows"] == sum(
        len(turn) + 1 for number in range(12) for turn in read[number].turns
    )

    given = {**SMALL_RUN, "checkpoint": pupil, "data": ((str(data), 1.0),), "candidates": 1}
    run_training(
        tmp_path / "run", {**given, "soft_targets": tmp_path / "soft"}, resume=False, quiet=True
    )
    meta = json.loads((tmp_path / "run" / "last" / "meta.json").read_text())
    assert meta["run"]["soft_targets"] == str(tmp_path / "soft")
    assert meta["step"] == SMALL_RUN["steps"]


def test_asked_again_it_goes_on_with_what_it_has_not_read(
    teacher: Path, pupil: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "soft"
    ask(teacher, pupil, data, out)
    assert ask(teacher, pupil, data, out)["dialogues"] == 0
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    more = write_rows(tmp_path / "more.jsonl", rows[:5])
    assert ask(teacher, pupil, more, out)["dialogues"] == 5
    assert [len(known) for known in SoftTargets.open(out).first_rows.values()] == [12, 5]


def test_a_part_that_was_deleted_is_read_again_and_no_other_lost(
    teacher: Path, pupil: Path, data: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    out = tmp_path / "soft"
    ask(teacher, pupil, data, out)
    ask(teacher, pupil, write_rows(tmp_path / "more.jsonl", rows[:5]), out)
    (out / "00000.npz").unlink()
    assert ask(teacher, pupil, data, out)["dialogues"] == 12
    assert sorted(map(len, SoftTargets.open(out).first_rows.values())) == [5, 12]


def test_a_teacher_learns_how_people_chat_first(teacher: Path, pupil: Path, tmp_path: Path) -> None:
    data = tiny_dialogues(tmp_path / "data.jsonl", 200)
    options = {"adapt_minutes": 0.1, "minutes": 0.001}
    learnt = ask(teacher, pupil, data, tmp_path / "soft", **options)
    assert learnt["nats_after"] < 0.95 * learnt["nats_before"]
    # And keeps it.
    assert "nats_before" not in ask(teacher, pupil, data, tmp_path / "soft", **options)


def test_what_two_teachers_say_is_not_mixed(
    teacher: Path, pupil: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "soft"
    ask(teacher, pupil, data, out)
    other = Path(shutil.copytree(teacher, tmp_path / "other"))
    with pytest.raises(CommandError, match="soft: was read by another teacher, llama; choose"):
        ask(other, pupil, data, out)
    with pytest.raises(CommandError, match="soft: was begun without adapting; leave --adapt-min"):
        ask(teacher, pupil, data, out, adapt_minutes=0.01)
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CommandError, match="another process is at work here"):
            ask(teacher, pupil, data, out)


def test_a_teacher_draws_otherwise_with_another_seed(
    teacher: Path, pupil: Path, data: Path, tmp_path: Path
) -> None:
    draws = []
    for number, seed in enumerate((1, 1, 2)):
        ask(teacher, pupil, data, tmp_path / f"soft{number}", seed=seed)
        part = SoftTargets.open(tmp_path / f"soft{number}")
        [rows] = part.first_rows.values()
        draws.append(part.draws[rows[0] : rows[0] + 20])
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_a_file_is_known_again_by_another_path(
    teacher: Path,
    pupil: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ask(teacher, pupil, data, tmp_path / "soft")
    monkeypatch.chdir(tmp_path)
    given = {**SMALL_RUN, "checkpoint": pupil, "candidates": 1, "soft_targets": "soft"}
    unread = tiny_dialogues(tmp_path / "unread.jsonl", 12)
    given["data"] = ((f"./{data.name}", 1.0), (str(unread), 1.0))
    call_command("train", out=tmp_path / "run", **given)
    told = capsys.readouterr().out
    assert f"./{data.name}: 12 of 12 dialogues, read by a teacher" in told
    assert "unread.jsonl: no teacher has read any of it" in told


def test_a_damaged_adapter_is_named(teacher: Path, pupil: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "soft"
    ask(teacher, pupil, data, out, adapt_minutes=0.001, minutes=0.001)
    assert [path.name for path in out.iterdir() if path.suffix == ".h5"] == ["adapter.lora.h5"]
    adapter = out / "adapter.lora.h5"
    adapter.write_bytes(adapter.read_bytes()[:1000])
    with pytest.raises(CommandError, match=r"adapter\.lora\.h5: cannot be read .*; choose another"):
        ask(teacher, pupil, data, out)


def test_a_teacher_who_says_what_was_said_draws_the_targets(
    pupil: Path, data: Path, tmp_path: Path, renderer: PromptRenderer
) -> None:
    tokens = TokenDialogues.of(read_dialogues(data), renderer)
    key = tokens_key(str(data), renderer)
    read = [ReadDialogue(key, number, draws_of(tokens, number)) for number in (2, 3, 7)]
    (tmp_path / "soft").mkdir()
    write_part(tmp_path / "soft", 0, read)
    given = {**SMALL_RUN, "out": tmp_path / "run", "checkpoint": pupil, "person_coef": 0.5}
    given |= {"data": ((str(data), 1.0),), "soft_targets": tmp_path / "soft", "candidates": 1}
    trainer = prepare(
        config_from(given), resume=False, report=RunReport(tmp_path / "run", quiet=True)
    )
    seen = 0
    for _, _, batch in islice(trainer.stream.batches(), 4):
        asked = (batch["asked"] > 0) & (batch["target_weight"] > 0)
        seen += int(asked.sum())
        # Every dialogue that is shown was read, with whichever speaker is the bot.
        assert (asked == (batch["target_weight"] > 0)).all()
        assert (batch["drawn_ids"][asked] == batch["target_ids"][asked][:, None]).all()
    assert seen > 100


@pytest.mark.parametrize("there", [False, True])
def test_a_teacher_who_read_none_of_the_data_is_told(
    pupil: Path, data: Path, tmp_path: Path, *, there: bool
) -> None:
    soft = tmp_path / "soft"
    if there:
        soft.mkdir()
        draws = np.zeros((3, DRAWS), np.uint16)
        write_part(soft, 0, [ReadDialogue("other.jsonl-0123456789abcdef", 0, draws)])
    given = {**SMALL_RUN, "checkpoint": pupil, "data": ((str(data), 1.0),), "soft_targets": soft}
    with pytest.raises(DataError, match="soft: holds nothing that a teacher said of this data"):
        run_training(tmp_path / "run", given, resume=False, quiet=True)


def test_the_teacher_counts_as_much_as_is_asked_for(
    pupil: Path, data: Path, tmp_path: Path, renderer: PromptRenderer
) -> None:
    tokens = TokenDialogues.of(read_dialogues(data), renderer)
    [rex] = renderer.encode("rex")
    key = tokens_key(str(data), renderer)
    read = [ReadDialogue(key, number, draws_of(tokens, number, rex)) for number in range(12)]
    (tmp_path / "soft").mkdir()
    write_part(tmp_path / "soft", 0, read)
    nats = {}
    for share in (0.0, 1.0):
        given = {**SMALL_RUN, "checkpoint": pupil, "data": ((str(data), 1.0),), "candidates": 1}
        given |= {"soft_targets": tmp_path / "soft", "soft_share": share, "steps": 30}
        run_training(tmp_path / f"run{share}", given, resume=False, quiet=True)
        lines = (tmp_path / f"run{share}" / "log.jsonl").read_text().splitlines()
        nats[share] = [json.loads(line) for line in lines if '"lm"' in line]
    assert nats[0.0][-1]["lm"] < 0.7 * nats[0.0][0]["lm"]
    assert nats[1.0][-1]["loss"] < 0.2 * nats[1.0][0]["loss"]
    assert nats[1.0][-1]["lm"] > nats[1.0][0]["lm"]


def test_a_place_that_is_asked_has_our_token_before_it(
    teacher: Path, renderer: PromptRenderer, tmp_path: Path
) -> None:
    theirs = Tokenizer.from_file(str(teacher / "tokenizer.json"))
    ours = first_tokens(theirs, renderer)
    row = dialogue_row(turns=["Hi!  I'm Zoë. ", "What do you do ?", "İt is 12:30", "I am a nurse."])
    [dialogue] = read_dialogues(write_rows(tmp_path / "one.jsonl", [row]))
    transcript = Scribe(theirs, renderer, start=0).transcript(dialogue)
    text = theirs.decode(transcript.ids[1:])
    assert text.startswith(
        "About A: I love tea.\nAbout B: I have a dog named Rex. I am a nurse.\n\n"
    )
    assert "\nA: Hi! I'm Zoë.\nB: What do you do?\n" in text
    turns = [renderer.encode(turn) for turn in dialogue.turns]
    assert transcript.lengths == [len(turn) + 1 for turn in turns]
    said = [token for turn in turns for token in (*turn, END)]
    for place, asked in zip(transcript.places, transcript.rows, strict=True):
        drawn = ours[transcript.ids[place + 1]]
        if said[asked] == END or drawn in (END, NOTHING):
            assert drawn == said[asked] or drawn == NOTHING
            continue
        mine, other = (renderer.tokenizer.decode([int(token)]) for token in (said[asked], drawn))
        assert mine.startswith(other) or other.startswith(mine)
    # "İ" is two characters in lower case, so that places in that turn cannot be told.
    first = transcript.lengths[0] + transcript.lengths[1]
    assert not any(first <= row < first + transcript.lengths[2] for row in transcript.rows)
    assert len(transcript.rows) > 0.8 * (len(said) - transcript.lengths[2])


def test_a_token_with_the_end_of_its_line_counts_as_what_stands_before(
    renderer: PromptRenderer,
) -> None:
    vocabulary = {"?": 0, ".": 1, "Ċ": 2, ".Ċ": 3, "ĊĊ": 4, "\u0120": 5}
    theirs = Tokenizer(models.BPE(vocab=vocabulary, merges=[(".", "Ċ"), ("Ċ", "Ċ")]))
    theirs.decoder = decoders.ByteLevel()
    full_stop, mark = map(renderer.tokenizer.token_to_id, ".?")
    ours = first_tokens(theirs, renderer).tolist()
    assert ours == [mark, full_stop, END, full_stop, END, NOTHING]


def test_what_cannot_be_asked_is_said_in_one_line(
    teacher: Path, pupil: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "soft"
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"minutes": 0.0}, "minutes must be above 0"),
        ({"adapt_minutes": -1.0}, "adapt_minutes must be 0 or more"),
        ({"batch_tokens": 100}, "batch_tokens must be 1024 or more"),
        ({"seed": -1}, "seed must be from 0"),
        ({"teacher": tmp_path / "none"}, "none"),
        ({"teacher": pupil}, "tokenizer|KerasHub cannot read"),
        ({"data": tmp_path / "no.jsonl"}, r"no\.jsonl: cannot be read"),
    ]
    for changes, message in wrong:
        with pytest.raises(CommandError, match=message) as raised:
            ask(**{"teacher": teacher, "pupil": pupil, "data": data, "out": out, **changes})
        assert "\n" not in str(raised.value)


def test_damaged_weights_are_named(teacher: Path, pupil: Path, data: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(teacher, tmp_path / "llama"))
    weights = other / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:300])
    with pytest.raises(CommandError, match="llama: KerasHub cannot read it"):
        ask(other, pupil, data, tmp_path / "soft")


def test_a_tokenizer_without_bytes_is_refused(
    teacher: Path, pupil: Path, data: Path, tmp_path: Path
) -> None:
    other = tmp_path / "llama"
    other.mkdir()
    for name in ("config.json", "model.safetensors"):
        (other / name).symlink_to(teacher / name)
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    words.save(str(other / "tokenizer.json"))
    with pytest.raises(CommandError, match="not byte-level"):
        ask(other, pupil, data, tmp_path / "soft")


def test_a_damaged_part_is_named(teacher: Path, pupil: Path, data: Path, tmp_path: Path) -> None:
    ask(teacher, pupil, data, tmp_path / "soft")
    part = tmp_path / "soft" / "00000.npz"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(DataError, match=r"00000\.npz: cannot be read"):
        SoftTargets.open(tmp_path / "soft")
    with pytest.raises(CommandError, match=r"00000\.npz"):
        ask(teacher, pupil, data, tmp_path / "soft")
