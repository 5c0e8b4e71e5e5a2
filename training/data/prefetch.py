"""Makes batches ahead of the model, so that it never waits for Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from queue import Empty, Queue
from threading import Event, Thread

import keras
import numpy as np

from training.data.packing import Batch

# Epoch, number in the epoch, batch.
Item = tuple[int, int, Batch]
AHEAD = 8


def prefetched(batches: Iterator[Item]) -> Iterator[Item]:
    """The same items, made up to `AHEAD` early: by tf.data where TensorFlow is Keras' backend,
    elsewhere by a thread. All batches must have the shapes of the first. What goes wrong as they
    are made is raised here as it is."""
    return _by_dataset(batches) if keras.backend.backend() == "tensorflow" else by_thread(batches)


def _by_dataset(batches: Iterator[Item]) -> Iterator[Item]:
    import tensorflow as tf

    first = next(batches)
    shapes = {name: tf.TensorSpec(array.shape, array.dtype) for name, array in first[2].items()}
    place = tf.TensorSpec((), np.int64)
    failed: list[Exception] = []

    def items() -> Iterator[Item]:
        try:
            yield first
            yield from batches
        except Exception as error:  # noqa: BLE001 - tf.data would make a traceback's text of it
            failed.append(error)

    dataset = tf.data.Dataset.from_generator(items, output_signature=(place, place, shapes))
    for epoch, number, batch in dataset.prefetch(AHEAD).as_numpy_iterator():
        yield int(epoch), int(number), batch
    if failed:
        raise failed[0]


def by_thread(batches: Iterator[Item]) -> Iterator[Item]:
    ready: Queue[Item | BaseException] = Queue(AHEAD)
    stopped = Event()

    def work() -> None:
        try:
            for item in batches:
                if stopped.is_set():
                    return
                ready.put(item)
            ready.put(StopIteration())
        except Exception as error:  # noqa: BLE001 - raised again where the items are used
            ready.put(error)

    Thread(target=work, daemon=True, name="batches").start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, StopIteration):
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        with suppress(Empty):
            while True:
                ready.get_nowait()
