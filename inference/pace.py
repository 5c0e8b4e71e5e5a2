"""How long a step waits for company.

Most of a step is reading the model's weights, once for all chats in it: eight cost less than twice
as much as one. So where people keep coming it pays to write a little slower than one could: there
are fewer steps, with more chats in each, and prompts and everything else have the processor. Who
comes while nobody else is being answered does not count, so that a lone chat is never slowed down.
The fewer slots are free the shorter a step waits: where people wait for slots, nobody else can
join it.

Whoever's prompt is being run is company that is sure to come. Steps beside a prompt take the cores
from it, and come to more steps in all: of several who come at once, the first would be answered
while the others' prompts are still being run, and the last alone in the end. So until all have come
steps take a quarter of the time.
"""

from __future__ import annotations

from math import exp

# What a step waits for each one who has come in the last second.
WAIT_FOR_EACH = 0.0002
# From one step to the next while prompts are being run: in durations of a step, and seconds at
# most, for ten tokens a second are still faster than anybody reads.
STEPS_BESIDE_PROMPTS = 4
LONGEST_BESIDE_PROMPTS = 0.1


class Pace:
    """`tokens_per_second` that are enough for a chat: no step waits for others for longer;
    0: none does."""

    def __init__(self, tokens_per_second: float) -> None:
        self._longest = 1 / tokens_per_second if tokens_per_second else 0.0
        self._company, self._at = 0.0, 0.0

    def met(self, now: float) -> None:
        """A request has come while others were in hand."""
        self._company = self._rate(now) + 1
        self._at = now

    def gap(self, now: float, free: float, beside_prompts: float) -> float:
        """Seconds from the beginning of a step to that of the next, at least. `free` is the share
        of the slots that are; `beside_prompts` how long the last step took, 0 where no prompts are
        being run."""
        company = free * min(self._longest, WAIT_FOR_EACH * self._rate(now))
        return max(company, min(LONGEST_BESIDE_PROMPTS, STEPS_BESIDE_PROMPTS * beside_prompts))

    def _rate(self, now: float) -> float:
        """How many came in the last second; who came earlier counts less (a decaying mean)."""
        return self._company * exp(self._at - now)
