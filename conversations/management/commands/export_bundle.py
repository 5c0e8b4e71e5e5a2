"""`manage.py export_bundle`: a checkpoint becomes a bundle."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from conversations.management.base import ManualCommand, all_packages
from inference.bundle import QUANTIZATIONS, Bundle
from inference.spelling import words_in
from training.checkpoints.directory import FACTS_FILE, checkpoint_facts, read_facts
from training.checkpoints.hub import checkpoint_directory, checkpoint_name
from training.errors import CheckpointError, TrainingError


class Command(ManualCommand):
    help = """Turns a Hugging Face GPT-2 checkpoint directory into a bundle for the server.

The checkpoint has config.json, model.safetensors (or shards with their index), and tokenizer.json
(or vocab.json with merges.txt, and added_tokens.json if there is one).
Tokens for persona, person and bot are added where the tokenizer has none. A file
chatbot.json beside the weights, as training leaves it, fills in the bundle's name, prompt options,
sampling defaults, source and metrics.

examples:
  manage.py export_bundle --checkpoint distilgpt2 --out var/bundles/distilgpt2
  manage.py export_bundle --checkpoint runs/best --out var/bundles/best --quantization int4
  CHATBOT_BUNDLE=var/bundles/best bin/serve"""

    told = (TrainingError,)
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--checkpoint", required=True, metavar="DIR", help="or hf://owner/name")
        parser.add_argument("--out", type=Path, required=True, metavar="DIR")
        parser.add_argument(
            "--quantization",
            choices=QUANTIZATIONS,
            default="int8",
            help="bits per weight; none keeps float32 (default: %(default)s)",
        )
        case = parser.add_mutually_exclusive_group()
        case.add_argument(
            "--lowercase",
            dest="lower_case",
            action="store_true",
            default=None,
            help="prompts are lower-cased (default: read off the vocabulary)",
        )
        case.add_argument(
            "--natural-case", dest="lower_case", action="store_false", help="prompts are not"
        )
        parser.add_argument(
            "--facts", type=Path, metavar="FILE", help=f"instead of the checkpoint's {FACTS_FILE}"
        )
        parser.add_argument(
            "--card", type=Path, metavar="FILE", help="Markdown that opens the model card"
        )
        parser.add_argument(
            "--words",
            type=Path,
            metavar="FILE",
            help="hold replies to these words (manage.py count_words) and those of their prompts",
        )
        parser.add_argument(
            "--no-choice-head",
            dest="choice_head",
            action="store_false",
            help="leave out a second head that was not trained",
        )
        parser.add_argument("--overwrite", action="store_true", help="replace the bundle in --out")
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        with all_packages("export needs"):
            bundle = _export(**options)
        size = sum(file.bytes for file in bundle.files.values())
        added = bundle.source.get("added_special_tokens", [])
        values = {
            "bundle": str(bundle.path),
            "name": bundle.name,
            "quantization": bundle.quantization,
            "bytes": size,
            "added_special_tokens": added,
            "prompt": dict(bundle.prompt.options),
            "choice_head": bundle.choice_head,
        }
        case = "lower-cased" if bundle.prompt.options["lowercase"] else "in natural case"
        text = (
            (f"Added special tokens: {', '.join(added)}\n" if added else "")
            + f"Prompts are {case}.\n"
            + f"{bundle.path}: {bundle.quantization}, {size / 1e6:.1f} MB"
        )
        self.report(values, text, as_json=options["json"])


def _export(
    *,
    checkpoint: str,
    out: Path,
    quantization: str,
    lower_case: bool | None,
    facts: Path | None,
    card: Path | None,
    words: Path | None,
    overwrite: bool,
    choice_head: bool,
    **_: Any,
) -> Bundle:
    from training.export.bundle import ExportOptions, export_bundle

    directory = checkpoint_directory(checkpoint)
    options = ExportOptions(
        quantization=quantization,
        lower_case=lower_case,
        facts=read_facts(facts) if facts else checkpoint_facts(directory),
        card=_text(card) if card else "",
        words=_words(words) if words else (),
        overwrite=overwrite,
        choice_head=choice_head,
        called=checkpoint_name(checkpoint),
    )
    return export_bundle(directory, out, options)


def _words(path: Path) -> list[str]:
    words = words_in(_text(path))
    if not words:
        raise CheckpointError(f"{path}: holds no word to hold replies to.")
    return words


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}).") from error
