"""llama.cpp in 8 bits (Q8_0), through xllamacpp's server: a slot a chat, decoded together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from training.bench.checkpoint import read_tokens
from training.checkpoints.directory import Checkpoint, read_checkpoint

MODEL_FILE = "model.gguf"
# Of each chat.
CONTEXT = 256
_BLOCK = {
    "ln_1.weight": "attn_norm.weight",
    "ln_1.bias": "attn_norm.bias",
    "attn.c_attn.weight": "attn_qkv.weight",
    "attn.c_attn.bias": "attn_qkv.bias",
    "attn.c_proj.weight": "attn_output.weight",
    "attn.c_proj.bias": "attn_output.bias",
    "ln_2.weight": "ffn_norm.weight",
    "ln_2.bias": "ffn_norm.bias",
    "mlp.c_fc.weight": "ffn_up.weight",
    "mlp.c_fc.bias": "ffn_up.bias",
    "mlp.c_proj.weight": "ffn_down.weight",
    "mlp.c_proj.bias": "ffn_down.bias",
}


class LlamaCppPeer:
    """Completion requests from as many threads as there are chats, to a server made for that number
    of them."""

    def __init__(self, model: Path, threads: int) -> None:
        self._model, self._threads = model, threads
        self._server: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._slots = 0

    def generate(self, chats: int, prompt_tokens: int, tokens: int) -> int:
        pool = self._serve(chats)
        request = {
            "prompt": list(range(10, 10 + prompt_tokens)),
            "n_predict": tokens,
            "ignore_eos": True,
            "top_k": 20,
            "cache_prompt": False,
            "samplers": ["top_k", "temperature"],
        }
        written = 0
        for reply in pool.map(self._server.handle_completions, [request] * chats):
            if not isinstance(reply, dict) or "usage" not in reply:
                raise RuntimeError(f"llama.cpp: {str(reply)[:200]}")
            written += reply["usage"]["completion_tokens"]
        return written

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
        self._server = None

    def _serve(self, chats: int) -> ThreadPoolExecutor:
        """Have a server for so many chats, and threads to ask it."""
        if self._pool is None or chats != self._slots:
            self.close()
            self._server = _server(self._model, self._threads, chats)
            self._pool, self._slots = ThreadPoolExecutor(chats), chats
        return self._pool


def convert(checkpoint: Path, directory: Path) -> None:
    """Write the model as GGUF."""
    _write(directory / MODEL_FILE, read_checkpoint(checkpoint), read_tokens(checkpoint))


def load(directory: Path, threads: int, chats: int) -> LlamaCppPeer:
    """Get ready to serve what `convert` wrote."""
    import xllamacpp  # noqa: F401 - says now if it is missing

    return LlamaCppPeer(directory / MODEL_FILE, threads)


def _server(model: Path, threads: int, chats: int) -> Any:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_parallel = chats
    params.n_ctx = CONTEXT * chats
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup = True
    params.cache_ram_mib = 0  # no copies of prompts that nobody sends again
    return xllamacpp.Server(params)


def _write(path: Path, checkpoint: Checkpoint, tokens: list[str]) -> None:
    import gguf

    config = checkpoint.config
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_block_count(config.n_layer)
    writer.add_context_length(config.n_ctx)
    writer.add_embedding_length(config.n_embd)
    writer.add_feed_forward_length(config.n_inner)
    writer.add_head_count(config.n_head)
    writer.add_layer_norm_eps(config.epsilon)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens))
    writer.add_token_merges([f"{tokens[4]} {tokens[5]}"])
    for kind in ("bos", "eos", "unk"):
        getattr(writer, f"add_{kind}_token_id")(0)
    for name, values in _tensors(checkpoint).items():
        if values.ndim == 2 and name != "position_embd.weight":
            block: Any = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(values, block), raw_dtype=block)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensors(checkpoint: Checkpoint) -> dict[str, Any]:
    """Under GGUF's names; matrices are (out, in) there."""
    weights = checkpoint.weights
    named = {
        "token_embd.weight": weights["wte.weight"],
        "output.weight": weights["wte.weight"],
        "position_embd.weight": weights["wpe.weight"],
        "output_norm.weight": weights["ln_f.weight"],
        "output_norm.bias": weights["ln_f.bias"],
    }
    for layer in range(checkpoint.config.n_layer):
        for ours, theirs in _BLOCK.items():
            values = weights[f"h.{layer}.{ours}"]
            named[f"blk.{layer}.{theirs}"] = values.T if values.ndim == 2 else values
    return {name: np.ascontiguousarray(values) for name, values in named.items()}
