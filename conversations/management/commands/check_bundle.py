"""`manage.py check_bundle`: whether a bundle is whole and its model runs here."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from conversations.management.base import ManualCommand
from inference.cores import usable_cores
from inference.errors import EngineError


class Command(ManualCommand):
    help = """Checks every file of a bundle, loads its model and lets it answer a greeting.

Without a directory the live bundle (CHATBOT_BUNDLE) is checked. It runs on what CHATBOT_DEVICE
says: with "cuda" a GPU must say the same as the processor. Needs what a server has installed.

examples:
  manage.py check_bundle
  manage.py check_bundle var/bundles/best --json"""

    told = (EngineError,)
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("bundle", type=Path, nargs="?", metavar="DIR")
        self.add_json(parser)

    def run(self, **options: Any) -> None:
        from inference.selftest import selftest

        path = options["bundle"] or settings.ENV.bundle
        found = selftest(path, threads=usable_cores(), device=settings.ENV.device)
        bundle = found.bundle
        values = {
            "ok": True,
            "bundle": str(bundle.path),
            "name": bundle.name,
            "quantization": bundle.quantization,
            "bytes": found.bytes,
            "device": found.device,
            "load_s": round(found.load_seconds, 3),
            "reply": found.reply,
        }
        text = (
            f"{bundle.path}: {bundle.name}, {bundle.quantization}, {found.bytes / 1e6:.1f} MB, "
            f"{len(bundle.files)} files whole\n"
            f"Loaded on the {found.device} in {found.load_seconds:.2f} s. It says: {found.reply}"
        )
        self.report(values, text, as_json=options["json"])
