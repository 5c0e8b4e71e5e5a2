"""The process's one engine, made from the settings when it is first asked for."""

from __future__ import annotations

import logging
from functools import cache
from threading import Lock, Thread
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from inference.bundle import Bundle
    from inference.engine import Engine
    from inference.params import EngineConfig, SamplingParams

logger = logging.getLogger(__name__)


@cache
def bundle() -> Bundle:
    """The served bundle's manifest; raises BundleError. Server start has checked its files."""
    from inference.bundle import load_bundle

    return load_bundle(settings.ENV.bundle, verify=False)


@cache
def engine() -> Engine:
    """The engine that every chat of this process shares; cheap, the model loads when first used.

    A server makes it as it starts: threads that ask for it together would make one each.
    """
    from inference.engine import Engine

    return Engine(engine_config())


class EngineLoader:
    """Loads the engine in the background, one attempt at a time, and remembers how it went."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._thread: Thread | None = None
        self._failed = False

    def state(self) -> str:
        """`ok`, `loading` or `failed`; when the engine is not loaded this begins to load it.

        After a failure the next question begins another attempt and still answers `failed` until
        that one has succeeded.
        """
        with self._lock:
            if engine().stats().loaded:
                self._failed = False
                return "ok"
            so_far = "failed" if self._failed else "loading"
            if self._thread is None or not self._thread.is_alive():
                self._thread = Thread(target=self._load, name="engine-load", daemon=True)
                self._thread.start()
            return so_far

    def _load(self) -> None:
        try:
            engine().load()
        except Exception:
            # Who asks may be anybody and is told no paths; the log has them.
            logger.exception("the engine cannot be loaded")
            self._failed = True


engine_loader = EngineLoader()


def engine_config() -> EngineConfig:
    """What the settings say about the engine.

    One core is left to everything around the model: its threads wait for each other at every
    operator, so one that has lost its core holds all of them up. Of 1,000 people on two cores, two
    threads fall ever further behind, one has half a core to spare.
    """
    from inference.cores import usable_cores
    from inference.params import EngineConfig

    env = settings.ENV
    return EngineConfig(
        bundle_dir=env.bundle,
        max_batch=env.max_batch,
        max_queue=env.max_queue,
        threads=env.threads or max(1, usable_cores() - 1),
        kv_cache_mb=env.kv_cache_mb,
        tokens_per_second=env.tokens_per_second,
        device=env.device,
    )


def sampling_params() -> SamplingParams:
    """How replies are drawn: what the bundle recommends, and over it what the settings say.

    One candidate: people see a reply as it is written. Whoever sends it whole may ask for more.
    """
    from inference.params import SamplingParams

    env = settings.ENV
    return SamplingParams.recommended(
        bundle().sampling,
        max_tokens=env.max_tokens,
        temperature=env.temperature,
        top_k=env.top_k,
        top_p=env.top_p,
        repetition_penalty=env.repetition_penalty,
        copying=env.copying,
        candidates=1,
    )
