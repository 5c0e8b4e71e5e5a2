"""How probable a bundle finds given replies: perplexity, and ranking by it.

A bundle's `score.onnx` has the weights that people are answered with, so that what quantisation
costs is seen. It needs ONNX Runtime only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from inference.bundle import SCORER_FILE, Bundle
from inference.errors import BundleError
from inference.prompt import PromptRenderer, Turn
from training.data.examples import Example, IntArray
from training.measure.metrics import count_words

FloatVector = npt.NDArray[np.float64]
_CACHE_DTYPES = {"tensor(float)": np.float32, "tensor(int8)": np.int8}


@dataclass(frozen=True, slots=True)
class Scores:
    """Of each candidate reply: mean log-likelihood per token after the context, the same without
    persona and history, and the second head's score where there is one."""

    likelihood: FloatVector
    unconditional: FloatVector
    head: FloatVector | None = None


class ReplyNats(NamedTuple):
    """Negative log-likelihood of replies, and how many tokens and whitespace words they are."""

    nats: float
    tokens: int
    words: int


class BundleScorer:
    """A bundle's probabilities, one sequence at a time."""

    def __init__(self, bundle: Bundle, *, threads: int) -> None:
        import onnxruntime as ort

        path = bundle.path / SCORER_FILE
        if not path.is_file():
            raise BundleError(
                f"{path}: missing; export the checkpoint again to have its perplexity measured."
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.renderer = PromptRenderer.from_bundle(bundle)
        inputs = {item.name: item for item in self._session.get_inputs()}
        shape = (1, bundle.n_head, 0, bundle.n_embd // bundle.n_head)
        dtype = _CACHE_DTYPES[inputs["past_key_0"].type]
        names = [f"{kind}_{i}" for i in range(bundle.n_layer) for kind in ("key", "value")]
        self._empty = {f"past_{name}": np.zeros(shape, dtype) for name in names}
        self._scores = ["log_likelihood", *(["choice_score"] if bundle.choice_head else [])]
        self._present = [f"present_{name}" for name in names]
        self._alone = lru_cache(maxsize=4096)(self._alone_mean)

    def reply_nats(self, persona: Sequence[str], turns: Sequence[Turn]) -> ReplyNats:
        """How surprising the bot's turns are, of those that `scored_replies` scores."""
        examples, words = scored_replies(self.renderer, persona, turns)
        nats = [self._example_nats(example) for example in examples]
        return ReplyNats(float(sum(map(np.sum, nats))), sum(map(len, nats)), words)

    def rank(
        self, persona: Sequence[str], turns: Sequence[Turn], candidates: Sequence[str]
    ) -> Scores:
        """Scores of the candidates as the bot's next turn; the context is run once."""
        replies = [ranked_ids(self.renderer, text) for text in candidates]
        prompt = self.renderer.render(persona, turns, reserve=max(map(len, replies))).ids
        scored = self._after(prompt, replies)
        heads = [head for _, head in scored if head is not None]
        return Scores(
            likelihood=np.array([values.mean() for values, _ in scored]),
            unconditional=np.array([self._alone(text) for text in candidates]),
            head=np.array(heads) if heads else None,
        )

    def _example_nats(self, example: Example) -> FloatVector:
        values, _, _ = self._run(example.ids[:-1], example.ids[1:], self._empty)
        wanted = np.concatenate([np.arange(*span) for span in example.replies])
        nats: FloatVector = -values[wanted - 1]
        return nats

    def _alone_mean(self, text: str) -> float:
        prompt = self.renderer.render([], [], reserve=1).ids
        return float(self._after(prompt, [ranked_ids(self.renderer, text)])[0][0].mean())

    def _after(
        self, prompt: Sequence[int], replies: Sequence[IntArray]
    ) -> list[tuple[FloatVector, float | None]]:
        """Of replies right after the prompt: log-likelihood of every token, and the second head's
        score once the last token has been run too."""
        context = np.asarray(prompt, np.int32)
        _, _, past = self._run(context[:-1], context[1:], self._empty)
        results = []
        for ids in replies:
            given = np.concatenate([context[-1:], ids])
            # What follows the last token is not asked for; any target does.
            values, heads, _ = self._run(given, np.append(ids, ids[-1]), past)
            results.append((values[:-1], None if heads is None else float(heads[-1])))
        return results

    def _run(
        self, ids: IntArray, targets: IntArray, past: dict[str, npt.NDArray[np.generic]]
    ) -> tuple[FloatVector, FloatVector | None, dict[str, npt.NDArray[np.generic]]]:
        """Log-likelihoods of the targets, the second head's scores, and the cache afterwards."""
        before = past["past_key_0"].shape[2]
        feeds = {
            "input_ids": ids[None].astype(np.int64),
            "position_ids": np.arange(before, before + len(ids))[None],
            "seqlens_k": np.array([before + len(ids) - 1], np.int32),
            "total_sequence_length": np.array([before + len(ids)], np.int32),
            "targets": targets[None].astype(np.int64),
        }
        results = self._session.run([*self._scores, *self._present], {**feeds, **past})
        count = len(self._scores)
        values, *heads = (scores.ravel().astype(np.float64) for scores in results[:count])
        names = (name.replace("present", "past") for name in self._present)
        after = dict(zip(names, results[count:], strict=True))
        return values, heads[0] if heads else None, after


def scored_replies(
    renderer: PromptRenderer, persona: Sequence[str], turns: Sequence[Turn]
) -> tuple[list[Example], int]:
    """What is run to score the bot's turns, and how many whitespace words they are.

    That is the dialogue where it fits the window. A longer one is scored turn by turn, with what
    the model would be given before each; replies of more than half a window are left out.
    """
    said = [index for index, turn in enumerate(turns) if turn.speaker == "bot"]
    whole = Example.from_mask(*renderer.render_dialogue(persona, turns))
    if len(whole.ids) <= renderer.window:
        return [whole], count_words(turns[index].text for index in said)
    replies = {index: reply_ids(renderer, turns[index].text) for index in said}
    kept = [index for index in said if len(replies[index]) <= renderer.window // 2]
    examples = []
    for index in kept:
        reply = replies[index].tolist()
        prompt = renderer.render(persona, turns[:index], reserve=len(reply)).ids
        mask = [False] * len(prompt) + [True] * len(reply)
        examples.append(Example.from_mask([*prompt, *reply], mask))
    return examples, count_words(turns[index].text for index in kept)


def reply_ids(renderer: PromptRenderer, text: str) -> IntArray:
    """The tokens of a reply, with the one that ends it."""
    example = Example.from_mask(*renderer.render_dialogue([], [Turn("bot", text)]))
    start, stop = example.replies[0]
    return example.ids[start:stop]


def ranked_ids(renderer: PromptRenderer, text: str) -> IntArray:
    """The tokens of a candidate, of which so many count as leave half of the window to what was
    said before."""
    return reply_ids(renderer, text)[: renderer.window // 2]
