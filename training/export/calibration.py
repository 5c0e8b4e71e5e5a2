"""Text to measure a model's ranges on before it is quantised."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inference.prompt import PromptRenderer, Turn

_PERSONA = (
    "I teach geography at a school by the harbour.",
    "My two cats, Olive and Basil, are named after my garden.",
    "I have never learnt to swim, and I keep that quiet.",
    "On Sundays I bake bread for the whole street.",
)
_CONVERSATIONS = (
    (
        "Hi there! How are you doing today?",
        "I'm well, thanks! I just took two loaves out of the oven. And you?",
        "Not bad, a bit tired. I worked until nine last night... What do you do for a living?",
        "I teach geography. The children like maps more than they like me, I think!",
        "Ha! Do you have any pets?",
        "Yes, two cats. They sleep on my marking and judge every grade I give.",
    ),
    (
        "what's your favourite movie?",
        "Oh, that's hard. Something old, in black and white, with a train in it.",
        "I watched 3 films on 12 March 2019 and didn't like any of them :(",
        "Three in one day? You must have been very bored, or very patient.",
        "both lol. do you like sports?",
        "I walk a lot, but I don't swim. Football only when my sister makes me watch it.",
    ),
    (
        "Why is the sea blue?",
        "It drinks up the red of the light and gives back the rest. My pupils ask that every year.",
        "That's beautiful. My grandmother died last week and she loved the sea.",
        "I'm so sorry to hear that. Would you like to tell me about her?",
        "She was a nurse, she had nine grandchildren & a terrible temper!",
        "Then she must have had a great heart, too. I would have liked to meet her.",
    ),
)
_RANDOM_TEXTS = 4
_MAX_TOKENS = 256


def calibration_texts(
    renderer: PromptRenderer, *, vocab_size: int, n_ctx: int
) -> list[npt.NDArray[np.int64]]:
    """Conversations as the model will see them, and token ids at random for all it may also see.

    Always the same. Each array is (S), S at most `n_ctx`.
    """
    limit = min(n_ctx, _MAX_TOKENS)
    random = np.random.default_rng(0)
    texts = [random.integers(0, vocab_size, limit) for _ in range(_RANDOM_TEXTS)]
    for lines in _CONVERSATIONS:
        turns = [Turn("bot" if i % 2 else "person", line) for i, line in enumerate(lines)]
        ids, _ = renderer.render_dialogue(_PERSONA, turns)
        texts.append(np.array(ids[:limit], np.int64))
    return texts
