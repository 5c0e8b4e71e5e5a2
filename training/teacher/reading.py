"""Asks a teacher about dialogues: `manage.py ask_teacher`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from random import Random

import keras
import numpy as np
import numpy.typing as npt

from inference.prompt import PromptRenderer
from training.checkpoints.directory import CONFIG_FILE, read_config
from training.checkpoints.hub import checkpoint_directory, checkpoint_name
from training.checkpoints.vocabulary import read_vocabulary
from training.config import SEEDS, cannot_write
from training.data.dialogue import Dialogue
from training.data.persona import derive_persona
from training.data.readers import read_reported
from training.data.soft_targets import DRAWS, END, UNASKED, ReadDialogue, SoftTargets, write_part
from training.data.tokens import tokens_key
from training.errors import RunError
from training.lock import alone_in
from training.teacher.batches import LONGEST, batch_to_ask, batch_to_learn, grouped
from training.teacher.model import Teacher
from training.teacher.transcript import Scribe, Transcript
from training.teacher.vocabulary import NOTHING, first_tokens

ADAPTER_FILE, TEACHER_FILE = "adapter.lora.h5", "teacher.txt"
# Dialogues that are sorted by length together, and written together.
POOL = 128
LEARN_POOL = 64
REPORT_STEPS = 10
# Of adapting, at its highest; it falls as the minutes are used up.
LEARNING_RATE = 1e-3


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """`checkpoint` is the pupil, for its tokenizer. `data` are files with the share of each among
    the tokens that are read. `adapt_minutes` of learning how people chat come first."""

    teacher: str
    checkpoint: str
    out: Path
    data: Sequence[tuple[str, float]]
    minutes: float
    adapt_minutes: float
    batch_tokens: int
    precision: str
    seed: int

    def __post_init__(self) -> None:
        if not self.data:
            raise RunError("No data: give files of dialogues for the teacher to read.")
        if self.minutes <= 0:
            raise RunError("minutes must be above 0: for how long is the teacher asked?")
        if self.adapt_minutes < 0:
            raise RunError(f"adapt_minutes must be 0 or more, not {self.adapt_minutes}.")
        if self.batch_tokens < LONGEST:
            raise RunError(f"batch_tokens must be {LONGEST} or more, not {self.batch_tokens}.")
        if not 0 <= self.seed < SEEDS:
            raise RunError(f"seed must be from 0 to {SEEDS - 1}, not {self.seed}.")


def ask_teacher(options: ReadOptions, report: Callable[[str], None]) -> dict[str, int | float]:
    """Let the teacher read dialogues until the minutes are used up or all are read, and write what
    it drew to `out`; what is there already stays, and so does what the teacher has learnt.

    Returns the dialogues, tokens and rows read now, and the mean nats of what was said before and
    after adapting. Raises RunError, DataError or CheckpointError.
    """
    keras.utils.set_random_seed(options.seed)
    keras.mixed_precision.set_global_policy(options.precision)
    pupil = checkpoint_directory(options.checkpoint)
    vocabulary = read_vocabulary(pupil)
    if vocabulary.tokenizer.get_vocab_size(with_added_tokens=True) > END:
        raise RunError(f"{options.checkpoint}: has more than {END} tokens.")
    renderer = vocabulary.renderer(read_config(pupil / CONFIG_FILE).n_ctx)
    teacher = Teacher.read(checkpoint_directory(options.teacher), options.seed)
    scribe = Scribe(teacher.tokenizer, renderer, teacher.start)
    random = Random(options.seed)
    files = [_File.read(path, share, renderer, report, random) for path, share in options.data]
    with alone_in(options.out):
        there = SoftTargets.open(options.out)
        _check_is_same(options, there)
        learnt = _adapt(teacher, _mixed(files, scribe, last_first=True), options, report)
        ours = first_tokens(teacher.tokenizer, renderer)
        teacher.restrict(np.flatnonzero(ours != NOTHING))
        items = _mixed([_unread(file, there) for file in files], scribe)
        part = there.next_part
        return learnt | _read(teacher, items, ours[teacher.speakable], options, report, part)


def _check_is_same(options: ReadOptions, there: SoftTargets) -> None:
    """Raises RunError where another teacher has drawn what is `there`, or this one before it was
    adapted."""
    path, teacher = options.out / TEACHER_FILE, checkpoint_name(options.teacher)
    try:
        if not there.next_part:
            path.write_text(teacher, encoding="utf-8")
        before = path.read_text(encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from error
    if before != teacher:
        raise RunError(
            f"{options.out}: was read by another teacher, {before}; choose another --out."
        )
    if there.next_part and options.adapt_minutes and not (options.out / ADAPTER_FILE).exists():
        raise RunError(
            f"{options.out}: was begun without adapting; leave --adapt-minutes out, or choose "
            "another --out."
        )


@dataclass(frozen=True, slots=True)
class _File:
    """A file's dialogues with their numbers there, in the order in which they are read."""

    key: str
    share: float
    dialogues: Sequence[tuple[int, Dialogue]]

    @classmethod
    def read(
        cls,
        path: str,
        share: float,
        renderer: PromptRenderer,
        report: Callable[[str], None],
        random: Random,
    ) -> _File:
        kept = (replace(dialogue, candidates=()) for dialogue in read_reported(path, report))
        dialogues = list(enumerate(kept))
        random.shuffle(dialogues)
        return cls(tokens_key(path, renderer), share, dialogues)


@dataclass(frozen=True, slots=True)
class _Item:
    """A dialogue of a file, ready to be read."""

    key: str
    number: int
    transcript: Transcript


def _mixed(files: Sequence[_File], scribe: Scribe, *, last_first: bool = False) -> Iterator[_Item]:
    """Dialogues of all files, each file's share of the tokens as it should be."""
    order = reversed if last_first else iter
    left = {file.key: order(file.dialogues) for file in files}
    shares = {file.key: file.share for file in files}
    tokens = dict.fromkeys(left, 0)
    while left:
        key = min(left, key=lambda key: tokens[key] / shares[key])
        number, dialogue = next(left[key], (-1, None))
        if dialogue is None:
            del left[key]
            continue
        # With the persona that training derives (`TokenDialogues.of`).
        transcript = scribe.transcript(derive_persona(dialogue, Random(number))).cut(LONGEST)
        tokens[key] += len(transcript.ids)
        yield _Item(key, number, transcript)


def _unread(file: _File, there: SoftTargets) -> _File:
    known = there.rows_of(file.key)
    return replace(file, dialogues=[item for item in file.dialogues if item[0] not in known])


def _adapt(
    teacher: Teacher, items: Iterator[_Item], options: ReadOptions, report: Callable[[str], None]
) -> dict[str, float]:
    """Learn from dialogues, or take what was learnt before; the first few are held out."""
    adapter = options.out / ADAPTER_FILE
    if adapter.exists():
        teacher.adapt()
        teacher.load_adapter(adapter)
        return {}
    if not options.adapt_minutes:
        return {}
    teacher.adapt()
    optimizer = keras.optimizers.Adam(LEARNING_RATE, beta_2=0.98, global_clipnorm=1.0)
    teacher.compile(optimizer=optimizer, jit_compile=False)
    held_out = [item.transcript for item in islice(items, LEARN_POOL // 4)]
    before = _nats(teacher, held_out, options)
    report(f"adapting: {before:.3f} nats a token before")
    began = time.monotonic()
    for step, group in enumerate(_groups(items, LEARN_POOL, options.batch_tokens), start=1):
        spent = (time.monotonic() - began) / (60 * options.adapt_minutes)
        if spent >= 1:
            break
        optimizer.learning_rate = LEARNING_RATE * max(0.03, 1 - spent)
        batch = batch_to_learn([item.transcript for item in group], options.batch_tokens)
        nats = float(teacher.train_on_batch(batch))
        if step % REPORT_STEPS == 0:
            report(f"adapting: {100 * spent:.0f} %, {nats:.3f} nats")
    after = _nats(teacher, held_out, options)
    report(f"adapted: {after:.3f} nats a token")
    teacher.save_adapter(adapter)
    return {"nats_before": before, "nats_after": after}


def _nats(teacher: Teacher, transcripts: Sequence[Transcript], options: ReadOptions) -> float:
    """Mean nats of what is said in transcripts that are not learnt."""
    total = count = 0.0
    for group in grouped(transcripts, options.batch_tokens):
        batch = batch_to_learn([transcripts[index] for index in group], options.batch_tokens)
        weight = float(batch["weight"].sum())
        total, count = total + weight * float(teacher.test_on_batch(batch)), count + weight
    return total / max(1.0, count)


def _groups(items: Iterable[_Item], pool: int, tokens: int) -> Iterator[list[_Item]]:
    """Batches of dialogues of about one length, `pool` dialogues at a time."""
    source = iter(items)
    while some := list(islice(source, pool)):
        for group in grouped([item.transcript for item in some], tokens):
            yield [some[index] for index in group]


def _read(
    teacher: Teacher,
    items: Iterator[_Item],
    ours: npt.NDArray[np.int64],
    options: ReadOptions,
    report: Callable[[str], None],
    part: int,
) -> dict[str, int | float]:
    """Write what the teacher draws, from part number `part` on."""
    began = time.monotonic()
    done = {"dialogues": 0, "tokens": 0, "rows": 0}
    while time.monotonic() - began < 60 * options.minutes:
        some = list(islice(items, POOL))
        if not some:
            break
        read = [
            each
            for group in _groups(some, POOL, options.batch_tokens)
            for each in _drawn(teacher, group, ours, options.batch_tokens)
        ]
        write_part(options.out, part, read)
        part += 1
        done["dialogues"] += len(read)
        done["tokens"] += sum(len(item.transcript.ids) for item in some)
        done["rows"] += sum(len(each.draws) for each in read)
        speed = done["tokens"] / (time.monotonic() - began)
        report(f"read {done['dialogues']} dialogues, {speed:.0f} tokens/s")
    return {**done}


def _drawn(
    teacher: Teacher, group: Sequence[_Item], ours: npt.NDArray[np.int64], tokens: int
) -> Iterator[ReadDialogue]:
    transcripts = [item.transcript for item in group]
    drawn = teacher.predict_on_batch(batch_to_ask(transcripts, tokens))
    said = ours[np.asarray(drawn)].astype(np.uint16)
    at = 0
    for item in group:
        transcript = item.transcript
        draws = np.full((sum(transcript.lengths), DRAWS), UNASKED, np.uint16)
        draws[transcript.rows] = said[at : at + len(transcript.rows)]
        at += len(transcript.rows)
        yield ReadDialogue(item.key, item.number, draws)
