"""One evaluation from files to figures, and its comparison with the live bundle's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inference.bundle import MANIFEST_FILE, load_bundle
from inference.cores import usable_cores
from inference.engine import Engine
from inference.params import EngineConfig, SamplingParams
from inference.prompt import PromptRenderer
from training.checkpoints.directory import CONFIG_FILE, checkpoint_facts
from training.data.dialogue import Dialogue
from training.errors import DataError, EvaluationError
from training.measure import figures
from training.measure.consistency import PersonaQuestion, persona_questions, reaction_messages
from training.measure.figures import EvaluateOptions, Report, worse
from training.measure.scoring import BundleScorer

__all__ = ["EvaluateOptions", "Evaluation", "EvaluationError", "gate", "table"]

SAMPLE_CHATS = 10
# Gated figures that are means over the replies to the chosen dialogues.
RANKED = ("hits_at_1_of_20", "f1")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures, how many replies or chats those that are shares are shares of, and the texts that
    some are about."""

    figures: dict[str, float]
    counts: dict[str, int]
    answers: list[str]
    reactions: list[str]
    chats: list[list[str]]
    personas: Sequence[Sequence[str]]

    @classmethod
    def run(
        cls,
        target: Path,
        data: Path,
        options: EvaluateOptions,
        personas: Sequence[Sequence[str]],
        *,
        report: Report,
    ) -> Evaluation:
        """Measure a bundle or a checkpoint directory on a file of dialogues; `personas` are those
        of the self-chats, and `report` is told what is damaged in the file, and which dialogues
        are left out for want of room.

        Raises DataError, EvaluationError, CheckpointError and the engine's errors.
        """
        read = figures.read_evaluation_data(data, options.limit, report)
        with _models(target) as (scorer, engine):
            dialogues = _with_room(data, read, engine, report)
            chosen = dialogues[: options.replies]
            params = _params(engine, options)
            found = figures.perplexity(scorer, dialogues)
            if chosen:
                found |= figures.hits(scorer, dialogues, count=len(chosen), seed=options.seed)
                found |= figures.replies(engine, chosen, params)
            consistent, answers = figures.consistency(engine, params)
            fitting, reactions = figures.reactions(engine, params)
            found |= consistent | fitting
            held: list[list[str]] = []
            if options.chats and personas:
                clean, held = figures.chats(engine, personas, params, count=options.chats)
                found |= clean
        found["n"] = len(dialogues)
        if len(dialogues) < len(read):
            found["left_out"] = len(read) - len(dialogues)
        ranked = sum(len(dialogue.replies) for dialogue in chosen)
        counts = {
            **dict.fromkeys(RANKED, ranked),
            **dict.fromkeys(consistent, len(answers.texts)),
            **dict.fromkeys(fitting, len(reactions.texts)),
            "chats_without_repetition": len(held),
        }
        return cls(found, counts, answers.texts, reactions.texts, held, personas)

    def samples(self) -> str:
        """Answers about personas, replies to what people tell, and the first self-chats, as
        Markdown."""
        lines = [
            "## Questions about a persona\n",
            *_judged(persona_questions(), self.answers),
            "\n## What people tell\n",
            *_judged(reaction_messages(), self.reactions),
            *self._chat_lines(),
        ]
        return "\n".join(lines) + "\n"

    def _chat_lines(self) -> Iterator[str]:
        yield "\n## Self-chats"
        for number, chat in enumerate(self.chats[:SAMPLE_CHATS]):
            pair = figures.pair_of(self.personas, number)
            yield f"\n### {number + 1}\n"
            yield from (f"- {'AB'[i]}: *{' '.join(lines)}*" for i, lines in enumerate(pair))
            yield ""
            yield from (f"> {'AB'[i % 2]}: {text}  " for i, text in enumerate(chat))


def _judged(questions: Sequence[PersonaQuestion], replies: Sequence[str]) -> Iterator[str]:
    for question, reply in zip(questions, replies, strict=True):
        yield f"- {' '.join(question.lines)}  \n  **{question.ask}** {reply} "
        yield f"  *({question.judge(reply)})*"


def gate(evaluation: Evaluation, live: Path, data: Path, options: EvaluateOptions) -> list[str]:
    """One line for every figure in which the live bundle is better."""
    # What is damaged in the data has been told already.
    measured = Evaluation.run(live, data, options, evaluation.personas, report=lambda text: None)
    return worse(evaluation.figures, measured.figures, evaluation.counts)


def table(found: dict[str, float]) -> str:
    """The figures for a person, shares as percentages."""
    shares = ("hits", "repeats", "persona", "reactions", "chats", "f1", "distinct")
    lines = []
    for name, value in found.items():
        shown = f"{100 * value:.1f} %" if name.startswith(shares) else f"{value:.4g}"
        lines.append(f"{name:<26}{shown:>10}")
    return "\n".join(lines)


def _with_room(
    data: Path, read: Sequence[Dialogue], engine: Engine, report: Report
) -> list[Dialogue]:
    """The dialogues that the model has room for; `report` is told of the others."""
    renderer = PromptRenderer.from_bundle(engine.bundle)
    dialogues, others = figures.with_room(read, renderer)
    if not dialogues:
        raise DataError(f"{data}: every persona is too long for this model; shorten them.")
    if others:
        report(
            f"{data}: {len(others)} dialogues left out, whose persona is too long for this model "
            f"(the first: number {others[0]})"
        )
    return dialogues


def _params(engine: Engine, options: EvaluateOptions) -> SamplingParams:
    try:
        return SamplingParams.recommended(
            engine.bundle.sampling, seed=options.seed, candidates=options.candidates
        )
    except ValueError as error:
        raise EvaluationError(f"{error}.") from error


@contextmanager
def _models(target: Path) -> Iterator[tuple[BundleScorer, Engine]]:
    """What scores replies and what writes them: of a checkpoint, its bundle in float32."""
    with _bundle(target) as bundle:
        scorer = BundleScorer(load_bundle(bundle), threads=usable_cores())
        engine = Engine(EngineConfig(bundle_dir=bundle, kv_cache_mb=0))
        try:
            yield scorer, engine
        finally:
            engine.close()


@contextmanager
def _bundle(target: Path) -> Iterator[Path]:
    if (target / MANIFEST_FILE).is_file():
        yield target
        return
    if not (target / CONFIG_FILE).is_file():
        raise EvaluationError(f"{target}: neither a bundle nor a checkpoint directory.")
    from training.export.bundle import ExportOptions, export_bundle

    with tempfile.TemporaryDirectory() as directory:
        bundle = Path(directory) / "bundle"
        facts = checkpoint_facts(target)
        export_bundle(target, bundle, ExportOptions(quantization="none", facts=facts))
        yield bundle
