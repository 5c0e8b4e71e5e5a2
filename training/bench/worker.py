"""A process of its own for each program: its threads and its memory disturb no other's.

`python -m training.bench.worker KIND PATH THREADS CHATS` answers a line `chats prompt tokens` on
its input with one JSON line: {"seconds": …, "rss_mb": …}. The first line is {}, {"missing":
package} or {"error": reason}.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

from inference.process import call_apart, resident_mb
from training.bench.peers import KINDS, Peer

ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_VISIBLE_DEVICES": "",
}


def main() -> None:
    # What the programs print goes to standard error; only our lines go to standard output.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=replies, flush=True)

    kind, path, threads, chats = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        try:
            peer = _load(kind, Path(path), Path(directory), int(threads), int(chats))
            answer()
            for line in sys.stdin:
                answer(
                    seconds=_seconds(peer, *map(int, line.split())), rss_mb=resident_mb(os.getpid())
                )
            peer.close()
        except ModuleNotFoundError as error:
            answer(missing=error.name)
        except Exception as error:  # noqa: BLE001 - whatever it is, the table goes on without it
            answer(error=f"{type(error).__name__}: {error}")


def _load(kind: str, path: Path, directory: Path, threads: int, chats: int) -> Peer:
    program = KINDS[kind]
    if program.convert:
        # Apart, because its memory is not what the program takes.
        call_apart(program.convert, path, directory)
        path = directory
    return program.load(path, threads, chats)


def _seconds(peer: Peer, chats: int, prompt_tokens: int, tokens: int) -> float:
    began = perf_counter()
    written = peer.generate(chats, prompt_tokens, tokens)
    seconds = perf_counter() - began
    # Ours goes on while a reply shows nothing but white space, which costs it time.
    if written < chats * tokens:
        raise RuntimeError(f"it wrote {written} tokens instead of {chats * tokens}")
    return seconds


if __name__ == "__main__":
    main()
