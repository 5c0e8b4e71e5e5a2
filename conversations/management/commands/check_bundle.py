"""`manage.py check_bundle`: is a bundle whole, and can it be served?"""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from inference.bundle import load_bundle
from inference.errors import BundleError
from inference.prompt import PromptRenderer, Turn

EXAMPLES = """
examples:
  manage.py check_bundle                      the bundle that is being served
  manage.py check_bundle var/bundles/best
"""


class Command(BaseCommand):
    help = (
        "Checks a bundle: every file against its checksum, the manifest, the tokenizer, and that "
        "the model loads and answers. Needs only what a server needs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.epilog = EXAMPLES
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.add_argument("bundle", nargs="?", type=Path, default=settings.ENV.bundle)
        parser.add_argument("--json", action="store_true", help="report as one JSON line")

    def handle(self, *args: Any, **options: Any) -> None:
        from inference.runner import Runner

        try:
            bundle = load_bundle(options["bundle"])
            prompt = PromptRenderer.from_bundle(bundle).render(
                ["I check bundles."], [Turn("person", "Hello!")], reserve=1
            )
            runner = Runner(bundle, slots=1, threads=1)
        except BundleError as error:
            raise CommandError(str(error)) from error
        runner.prefill(0, prompt.ids, 0)
        runner.close()
        size = sum(file.bytes for file in bundle.files.values())
        if options["json"]:
            report = {"bundle": bundle.name, "quantization": bundle.quantization, "bytes": size}
            self.stdout.write(json.dumps({**report, "ok": True}))
        else:
            self.stdout.write(
                f"{bundle.path}: {bundle.name}, {bundle.quantization}, {size / 1e6:.1f} MB: "
                f"{len(bundle.files)} files are whole, and the model answers."
            )
