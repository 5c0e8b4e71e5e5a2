"""CTranslate2 in 8 bits: the weights go into its decoder specification, as its converters do it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.bench.checkpoint import read_tokens
from training.checkpoints.directory import Checkpoint, read_checkpoint


class CTranslate2Peer:
    """`Generator.generate_batch` with all chats in one batch."""

    def __init__(self, generator: Any, tokens: list[str]) -> None:
        self._generator, self._tokens = generator, tokens

    def generate(self, chats: int, prompt_tokens: int, tokens: int) -> int:
        results = self._generator.generate_batch(
            [self._tokens[10 : 10 + prompt_tokens]] * chats,
            min_length=tokens,
            max_length=tokens,
            sampling_topk=20,
            include_prompt_in_result=False,
            max_batch_size=chats,
        )
        return sum(len(result.sequences_ids[0]) for result in results)

    def close(self) -> None:
        self._generator.unload_model()


def convert(checkpoint: Path, directory: Path) -> None:
    """Write the model in CTranslate2's format."""
    spec = _spec(read_checkpoint(checkpoint), read_tokens(checkpoint))
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(str(directory))


def load(directory: Path, threads: int, chats: int) -> CTranslate2Peer:
    """Load what `convert` wrote; all `threads` work on one batch."""
    import ctranslate2

    generator = ctranslate2.Generator(
        str(directory), device="cpu", compute_type="int8", inter_threads=1, intra_threads=threads
    )
    # Its vocabulary has the name and the form of a checkpoint's.
    return CTranslate2Peer(generator, read_tokens(directory))


def _spec(checkpoint: Checkpoint, tokens: list[str]) -> Any:
    from ctranslate2.specs import TransformerDecoderModelSpec, common_spec

    config, weights = checkpoint.config, checkpoint.weights
    spec = TransformerDecoderModelSpec.from_config(
        config.n_layer, config.n_head, activation=common_spec.Activation.GELUTanh
    )
    decoder = spec.decoder
    decoder.scale_embeddings = False
    decoder.embeddings.weight = weights["wte.weight"]
    decoder.position_encodings.encodings = weights["wpe.weight"]
    decoder.projection.weight = weights["wte.weight"]
    _norm(decoder.layer_norm, weights, "ln_f")
    for number, layer in enumerate(decoder.layer):
        name = f"h.{number}"
        attention, inner = layer.self_attention, layer.ffn
        _norm(attention.layer_norm, weights, f"{name}.ln_1")
        _linear(attention.linear[0], weights, f"{name}.attn.c_attn")
        _linear(attention.linear[1], weights, f"{name}.attn.c_proj")
        _norm(inner.layer_norm, weights, f"{name}.ln_2")
        _linear(inner.linear_0, weights, f"{name}.mlp.c_fc")
        _linear(inner.linear_1, weights, f"{name}.mlp.c_proj")
    spec.config.bos_token = spec.config.eos_token = spec.config.unk_token = tokens[0]
    spec.register_vocabulary(tokens)
    return spec


def _norm(spec: Any, weights: Any, name: str) -> None:
    spec.gamma, spec.beta = weights[f"{name}.weight"], weights[f"{name}.bias"]


def _linear(spec: Any, weights: Any, name: str) -> None:
    # (in, out) in the checkpoint, (out, in) here.
    spec.weight, spec.bias = weights[f"{name}.weight"].T.copy(), weights[f"{name}.bias"]
