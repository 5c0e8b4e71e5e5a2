"""A GPT-2 checkpoint directory in Hugging Face's layout, read and written without transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.errors import CheckpointError

FloatArray = npt.NDArray[np.float32]

ACTIVATIONS = {
    "gelu_new": "FastGelu",
    "gelu_fast": "FastGelu",
    "gelu_pytorch_tanh": "FastGelu",
    "gelu": "BiasGelu",
}


CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
# Of a model whose weights are cut into several files: which tensor is in which.
INDEX_FILE = f"{WEIGHTS_FILE}.index.json"
# What training knows and the weights do not tell: name, prompt, sampling, source, metrics.
FACTS_FILE = "chatbot.json"
# Checkpoints in a run's directory: to go on from, the best, and copies that stay.
LAST, BEST, KEPT = "last", "best", "steps"
# The second head of next-utterance classification, (n_embd, 1); most checkpoints have none.
CHOICE_WEIGHT = "choice_head.weight"
# What logits are computed with where it is not the table of tokens, wte.weight.
HEAD_WEIGHT = "lm_head.weight"
# What ONNX Runtime's GroupQueryAttention takes heads of, in float32 and in 8 bits.
HEAD_MULTIPLE = 8


@dataclass(frozen=True, slots=True)
class Config:
    """The part of `config.json` that decides the graph."""

    vocab_size: int
    n_layer: int
    n_head: int
    n_embd: int
    n_ctx: int
    n_inner: int
    activation: str
    epsilon: float
    scale_by_head: bool
    scale_by_layer: bool

    @property
    def head_size(self) -> int:
        return self.n_embd // self.n_head

    def attention_scale(self, layer: int) -> float:
        """What queries times keys are multiplied by before the softmax."""
        scale = float(self.head_size**-0.5) if self.scale_by_head else 1.0
        return scale / (layer + 1) if self.scale_by_layer else scale


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """`weights` are float32 under their names without the `transformer.` prefix."""

    path: Path
    config: Config
    weights: dict[str, FloatArray]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check config.json and model.safetensors, or the shards that an index in its place
    names (float32, float16 or bfloat16).

    Raises CheckpointError naming the file, the field or the tensor.
    """
    if not path.is_dir():
        raise CheckpointError(f"{path}: no such checkpoint directory.")
    config = read_config(path / CONFIG_FILE)
    stored = weights_file(path)
    weights = _read_weights(stored)
    for name, shape in expected_shapes(config).items():
        if name not in weights:
            raise CheckpointError(f"{stored}: tensor {name} {shape} is missing.")
        if weights[name].shape != shape:
            raise CheckpointError(
                f"{stored}: tensor {name} has shape "
                f"{weights[name].shape} where config.json says {shape}."
            )
    head = weights.get(CHOICE_WEIGHT)
    if head is not None and head.shape != (config.n_embd, 1):
        raise CheckpointError(
            f"{stored}: tensor {CHOICE_WEIGHT} has shape {head.shape}; "
            f"the second head of this model is {(config.n_embd, 1)}."
        )
    return Checkpoint(path, config, weights)


def weights_file(directory: Path) -> Path:
    """Where the weights of a checkpoint are: its one file, or the index of several."""
    whole, index = directory / WEIGHTS_FILE, directory / INDEX_FILE
    return index if index.is_file() and not whole.is_file() else whole


def write_checkpoint(
    directory: Path, config: Config, weights: Mapping[str, FloatArray], *, end: int
) -> None:
    """Write config.json and model.safetensors as transformers does for GPT-2.

    `weights` have the names that `read_checkpoint` gives; `end` is the token that ends a text.
    Raises OSError.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    heads = (CHOICE_WEIGHT, HEAD_WEIGHT)
    named = {
        name if name in heads else f"transformer.{name}": np.ascontiguousarray(values)
        for name, values in weights.items()
    }
    try:
        save_file(named, directory / WEIGHTS_FILE, metadata={"format": "pt"})
    except SafetensorError as error:
        # Its own kind, for a full disk too, without the number that says so.
        raise OSError(None, str(error)) from error
    write_json(directory / CONFIG_FILE, _config_json(config, end, tied=HEAD_WEIGHT not in weights))


def expected_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Every tensor that a GPT-2 of this shape must have; linear weights are (in, out)."""
    width, inner = config.n_embd, config.n_inner
    block = {
        "ln_1.weight": (width,),
        "ln_1.bias": (width,),
        "attn.c_attn.weight": (width, 3 * width),
        "attn.c_attn.bias": (3 * width,),
        "attn.c_proj.weight": (width, width),
        "attn.c_proj.bias": (width,),
        "ln_2.weight": (width,),
        "ln_2.bias": (width,),
        "mlp.c_fc.weight": (width, inner),
        "mlp.c_fc.bias": (inner,),
        "mlp.c_proj.weight": (inner, width),
        "mlp.c_proj.bias": (width,),
    }
    shapes: dict[str, tuple[int, ...]] = {
        "wte.weight": (config.vocab_size, width),
        "wpe.weight": (config.n_ctx, width),
    }
    for layer in range(config.n_layer):
        shapes |= {f"h.{layer}.{name}": shape for name, shape in block.items()}
    return shapes | {"ln_f.weight": (width,), "ln_f.bias": (width,)}


def read_config(path: Path) -> Config:
    """The shape that a `config.json` states. Raises CheckpointError for what is no GPT-2."""
    values = read_json(path)
    if values.get("model_type") != "gpt2":
        raise CheckpointError(
            f"{path}: model_type is {values.get('model_type')!r}; only gpt2 can be exported."
        )
    activation = values.get("activation_function", "gelu_new")
    if activation not in ACTIVATIONS:
        raise CheckpointError(
            f"{path}: activation_function {activation!r} is not supported "
            f"(supported: {', '.join(ACTIVATIONS)})."
        )
    width = _integer(path, values, "n_embd")
    config = Config(
        vocab_size=_integer(path, values, "vocab_size"),
        n_layer=_integer(path, values, "n_layer"),
        n_head=_integer(path, values, "n_head"),
        n_embd=width,
        n_ctx=_integer(path, values, "n_positions" if "n_positions" in values else "n_ctx"),
        n_inner=4 * width if values.get("n_inner") is None else _integer(path, values, "n_inner"),
        activation=activation,
        epsilon=_epsilon(path, values),
        scale_by_head=bool(values.get("scale_attn_weights", True)),
        scale_by_layer=bool(values.get("scale_attn_by_inverse_layer_idx", False)),
    )
    if config.n_embd % config.n_head:
        raise CheckpointError(
            f"{path}: n_embd {config.n_embd} cannot be divided by n_head {config.n_head}."
        )
    if config.head_size % HEAD_MULTIPLE:
        raise CheckpointError(
            f"{path}: n_embd {config.n_embd} / n_head {config.n_head} makes heads of "
            f"{config.head_size}, which ONNX Runtime does not run; take a checkpoint whose heads "
            f"are a multiple of {HEAD_MULTIPLE}."
        )
    return config


def _config_json(config: Config, end: int, *, tied: bool) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_embd": config.n_embd,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_positions": config.n_ctx,
        "n_ctx": config.n_ctx,
        "n_inner": config.n_inner,
        "activation_function": config.activation,
        "layer_norm_epsilon": config.epsilon,
        "scale_attn_weights": config.scale_by_head,
        "scale_attn_by_inverse_layer_idx": config.scale_by_layer,
        "bos_token_id": end,
        "eos_token_id": end,
        "tie_word_embeddings": tied,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "torch_dtype": "float32",
    }


def read_facts(path: Path) -> dict[str, Any]:
    """The `chatbot.json` that training leaves beside the weights. Raises CheckpointError."""
    facts = read_json(path)
    kinds = {"name": str, "prompt": dict, "sampling": dict, "source": dict, "metrics": dict}
    for name, value in facts.items():
        if name not in kinds:
            raise CheckpointError(f"{path}: unknown field {name}; known: {', '.join(kinds)}.")
        if not isinstance(value, kinds[name]):
            raise CheckpointError(
                f"{path}: {name} must be a {kinds[name].__name__}, not {value!r}."
            )
    return facts


def checkpoint_facts(directory: Path) -> dict[str, Any]:
    """What `read_facts` gives for a checkpoint directory; nothing where it has no such file."""
    path = directory / FACTS_FILE
    return read_facts(path) if path.is_file() else {}


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file of the checkpoint; CheckpointError when it is not one."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: not valid JSON ({error}).") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: must hold a JSON object.")
    return values


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """What `read_json` reads; what JSON does not know, as a path, is text. Raises OSError."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    path.write_text(text + "\n", encoding="utf-8")


def _integer(path: Path, values: dict[str, Any], name: str) -> int:
    value = values.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"{path}: {name} must be a positive whole number, not {value!r}.")
    return value


def _epsilon(path: Path, values: dict[str, Any]) -> float:
    value = values.get("layer_norm_epsilon", 1e-5)
    if not isinstance(value, int | float) or not 0 < value < 1:
        raise CheckpointError(f"{path}: layer_norm_epsilon must be from 0 to 1, not {value!r}.")
    return float(value)


def _read_weights(path: Path) -> dict[str, FloatArray]:
    """Of one file, or of those that an index names, one after the other."""
    weights: dict[str, FloatArray] = {}
    for file in _shards(path) if path.name == INDEX_FILE else [path]:
        weights |= _read_tensors(file)
    return weights


def _shards(index: Path) -> list[Path]:
    named = read_json(index).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise CheckpointError(f"{index}: weight_map must say which tensor is in which file.")
    names = sorted(set(map(str, named.values())))
    for name in names:
        if Path(name).name != name or not (index.parent / name).is_file():
            raise CheckpointError(f"{index}: names {name}, which is not beside it; put it there.")
    return [index.parent / name for name in names]


def _read_tensors(path: Path) -> dict[str, FloatArray]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(
            f"{path}: missing. Weights are read from safetensors files; "
            "save the model again with save_pretrained(..., safe_serialization=True)."
        )
    weights: dict[str, FloatArray] = {}
    try:
        with safe_open(path, framework="numpy") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - not a dict
                if name.endswith((".attn.bias", ".attn.masked_bias")):
                    continue  # the causal mask, which old checkpoints carry along
                tensor = np.asarray(tensors.get_tensor(name), np.float32)
                weights[name.removeprefix("transformer.")] = tensor
    except (SafetensorError, OSError, TypeError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file ({error}).") from error
    for name, tensor in weights.items():
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"{path}: tensor {name} holds values that are not finite.")
    return weights
