"""A process of its own for each program: its threads and its memory disturb no other's.

`python -m training.bench.worker NAME PATH THREADS CHATS` answers a line `chats prompt tokens` on
its input with one JSON line: {"seconds": …}. The first line is {"ready": true}, {"missing":
package} or {"error": reason}.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

from training.bench.peers import LOADERS


def main() -> None:
    # What the programs print goes to standard error; only our lines go to standard output.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=replies, flush=True)

    name, path, threads, chats = sys.argv[1:]
    try:
        peer = LOADERS[name](Path(path), int(threads), int(chats))
    except ModuleNotFoundError as error:
        answer(missing=error.name)
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the table goes on without it
        answer(error=f"{type(error).__name__}: {error}")
        return
    answer(ready=True)
    for line in sys.stdin:
        began = perf_counter()
        try:
            peer.generate(*map(int, line.split()))
        except Exception as error:  # noqa: BLE001 - as above
            answer(error=f"{type(error).__name__}: {error}")
            break
        answer(seconds=perf_counter() - began)
    peer.close()


if __name__ == "__main__":
    main()
