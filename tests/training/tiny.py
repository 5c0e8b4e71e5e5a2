"""A GPT-2 small enough to train in a second, and dialogues to train it on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from inference.bundle import SpecialTokens
from inference.prompt import PromptRenderer

# A run of a second.
SMALL_RUN: dict[str, Any] = {
    "steps": 8,
    "rows": 2,
    "row_length": 64,
    "max_dialogue": 64,
    "target_share": 0.9,
    "learning_rate": 0.01,
    "candidates": 2,
    "dropout": 0.1,
    "evaluate_steps": 4,
    "save_minutes": 1e-9,
}
TEXT = "hi ! how are you ? i have a dog named rex . what do you do i am nurse yes no love tea"


def tiny_tokenizer(text: str = TEXT, size: int = 400) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text] * 50, trainer)
    return tokenizer


def tiny_renderer(*, n_ctx: int = 1024, lowercase: bool = True) -> PromptRenderer:
    tokenizer = tiny_tokenizer()
    first = tokenizer.get_vocab_size()
    tokenizer.add_tokens(["<persona>", "<person>", "<bot>"])
    special = SpecialTokens(persona=first, person=first + 1, bot=first + 2, end=0)
    return PromptRenderer(tokenizer, special, n_ctx=n_ctx, lowercase=lowercase)


def tiny_checkpoint(directory: Path, *, width: int = 32, layers: int = 2) -> Path:
    """A checkpoint with random weights, as the Hub would have it: no tokens for a dialogue yet."""
    from safetensors.numpy import save_file

    from training.checkpoints.directory import expected_shapes, read_checkpoint, read_config

    directory.mkdir(parents=True)
    tokenizer = tiny_tokenizer()
    tokenizer.save(str(directory / "tokenizer.json"))
    config = {
        "model_type": "gpt2",
        "vocab_size": tokenizer.get_vocab_size(),
        "n_embd": width,
        "n_layer": layers,
        "n_head": 2,
        "n_positions": 512,
        "activation_function": "gelu_new",
    }
    (directory / "config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    weights = {}
    for name, shape in expected_shapes(read_config(directory / "config.json")).items():
        kind = np.ones if "ln_" in name and name.endswith("weight") else np.zeros
        start = (
            kind(shape) if "ln_" in name or name.endswith("bias") else random.normal(0, 0.1, shape)
        )
        weights[f"transformer.{name}"] = start.astype(np.float32)
    save_file(weights, directory / "model.safetensors")
    assert read_checkpoint(directory).config.n_embd == width
    return directory


def dialogue_row(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source": "test",
        "personas": [["I love tea."], ["I have a dog named Rex.", "I am a nurse."]],
        "turns": ["Hi!", "Hi! How are you?", "What do you do?", "I am a nurse. I have a dog."],
    }
    return row | changes


def write_rows(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tiny_dialogues(path: Path, count: int = 12) -> Path:
    """Dialogues that differ, so that there are wrong candidates to draw."""
    rows = [
        dialogue_row(turns=["hi!", f"i have {n} dog.", "what do you do?", f"i am {n} nurse {n}."])
        for n in range(count)
    ]
    return write_rows(path, rows)


def saved_weights(directory: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(directory / "model.safetensors"))


def into_shards(directory: Path) -> Path:
    """The checkpoint with its weights in two files and an index, as large ones are saved."""
    from safetensors.numpy import save_file

    weights = saved_weights(directory)
    (directory / "model.safetensors").unlink()
    names = sorted(weights)
    where: dict[str, str] = {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, directory / file)
        where |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))
    return directory
