"""`manage.py export_bundle`: a checkpoint becomes a bundle."""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from inference.bundle import QUANTIZATIONS
from training.checkpoint import ExportError
from training.export import FACTS_FILE, ExportOptions, export_bundle, read_facts

EXAMPLES = """\
examples:
  manage.py export_bundle --checkpoint distilgpt2 --out var/bundles/distilgpt2
  manage.py export_bundle --checkpoint runs/best --out var/bundles/best --quantization int4
  CHATBOT_BUNDLE=var/bundles/best bin/serve

The checkpoint is a directory in Hugging Face's layout: config.json, model.safetensors, and
tokenizer.json (or vocab.json with merges.txt). Tokens for persona, person and bot are added where
the tokenizer has none. A file chatbot.json beside the weights, as training leaves it, fills in the
bundle's name, prompt options, sampling defaults, source and metrics.
"""


class Command(BaseCommand):
    help = "Turn a Hugging Face GPT-2 checkpoint directory into a bundle that the server can load."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        return super().create_parser(
            prog_name,
            subcommand,
            epilog=EXAMPLES,
            formatter_class=RawDescriptionHelpFormatter,
            **kwargs,
        )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--checkpoint", type=Path, required=True, metavar="DIR")
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
        case.add_argument("--natural-case", dest="lower_case", action="store_false")
        parser.add_argument(
            "--facts", type=Path, metavar="FILE", help=f"instead of the checkpoint's {FACTS_FILE}"
        )
        parser.add_argument(
            "--card", type=Path, metavar="FILE", help="Markdown that opens the model card"
        )
        parser.add_argument("--overwrite", action="store_true", help="replace the bundle in --out")
        parser.add_argument("--json", action="store_true", help="report as one JSON line")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            bundle = export_bundle(
                options["checkpoint"],
                options["out"],
                ExportOptions(
                    quantization=options["quantization"],
                    lower_case=options["lower_case"],
                    facts=_facts(options["facts"], options["checkpoint"]),
                    card=_card(options["card"]),
                    overwrite=options["overwrite"],
                ),
            )
        except ExportError as error:
            raise CommandError(str(error)) from error
        size = sum(file.bytes for file in bundle.files.values())
        added = bundle.source.get("added_special_tokens", [])
        if options["json"]:
            report = {
                "bundle": str(bundle.path),
                "name": bundle.name,
                "quantization": bundle.quantization,
                "bytes": size,
                "added_special_tokens": added,
                "prompt": dict(bundle.prompt.options),
            }
            self.stdout.write(json.dumps(report))
            return
        if added:
            self.stdout.write(f"Added special tokens: {', '.join(added)}")
        case = "lower-cased" if bundle.prompt.options["lowercase"] else "in natural case"
        self.stdout.write(f"Prompts are {case}.")
        self.stdout.write(f"{bundle.path}: {bundle.quantization}, {size / 1e6:.1f} MB")


def _facts(given: Path | None, checkpoint: Path) -> dict[str, Any]:
    path = given or checkpoint / FACTS_FILE
    return read_facts(path) if given or path.is_file() else {}


def _card(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path}: cannot be read ({error}).") from error
