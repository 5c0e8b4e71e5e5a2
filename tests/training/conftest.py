"""What several tests of training need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def full_precision_after() -> Iterator[None]:
    """A run's precision is Keras' global policy, which would meet the tests that follow."""
    yield
    import keras

    keras.mixed_precision.set_global_policy("float32")
