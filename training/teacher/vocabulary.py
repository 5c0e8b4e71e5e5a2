"""The teacher's tokens in the pupil's vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from inference.prompt import PromptRenderer
from training.data.soft_targets import END
from training.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

IntArray = npt.NDArray[np.int64]
# No token of the pupil's: the teacher does not say it.
NOTHING = -1


def first_tokens(teacher: Tokenizer, renderer: PromptRenderer) -> IntArray:
    """(teacher's vocabulary,) the pupil's token that the text of each of the teacher's tokens
    begins with: END for a line break, NOTHING for what no dialogue holds (control characters,
    parts of characters). What comes behind a line break does not count: some vocabularies have a
    token for a full stop and the break after it.

    Raises CheckpointError when the teacher's tokens are not spelt in bytes, as GPT-2's are.
    """
    from tokenizers import Tokenizer, decoders, pre_tokenizers

    if "ByteLevel" not in str(teacher.decoder):
        raise CheckpointError(
            "the teacher's tokenizer is not byte-level BPE; take one that is, as SmolLM2's, "
            "Llama 3's or Qwen's."
        )
    spelling = decoders.ByteLevel()
    size = teacher.get_vocab_size(with_added_tokens=False)
    texts = [spelling.decode([teacher.id_to_token(number) or ""]) for number in range(size)]
    if renderer.lowercase:
        texts = [text.lower() for text in texts]
    # A part of a word stays one: without the space that opens a text.
    parts = Tokenizer.from_str(renderer.tokenizer.to_str())
    parts.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    found = np.full(teacher.get_vocab_size(with_added_tokens=True), NOTHING, np.int64)
    lines = [text.partition("\n")[0] for text in texts]
    encoded = parts.encode_batch(lines, add_special_tokens=False)
    for number, (text, tokens) in enumerate(zip(lines, encoded, strict=True)):
        if texts[number].startswith("\n"):
            found[number] = END
        elif text.strip() and text.isprintable() and "\ufffd" not in text and tokens.ids:
            found[number] = tokens.ids[0]
    return found
