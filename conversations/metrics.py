"""What is counted in this process, for Prometheus: `operations.metrics` shows it.

The services call these; nothing here reads the database. Each server process counts for itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

# The library's own registry is shared by everything in a process; this one is ours alone.
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

conversations_started = Counter(
    "chatbot_conversations_started",
    "Conversations started.",
    ["channel"],
    registry=REGISTRY,
)
messages_received = Counter(
    "chatbot_messages_received",
    "Messages from people that were saved.",
    ["channel"],
    registry=REGISTRY,
)
replies_ended = Counter(
    "chatbot_replies_ended",
    "Replies that ended, by how they ended.",
    ["status"],
    registry=REGISTRY,
)
first_token_seconds = Histogram(
    "chatbot_reply_first_token_seconds",
    "Time from the start of a reply, waiting included, to its first token.",
    buckets=(0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30),
    registry=REGISTRY,
)
reply_seconds = Histogram(
    "chatbot_reply_duration_seconds",
    "Time from the start of a reply, waiting included, to its end.",
    buckets=(0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30, 60),
    registry=REGISTRY,
)
websocket_connections = Gauge(
    "chatbot_websocket_connections", "Open websockets.", registry=REGISTRY
)


class EngineCollector(Collector):
    """Asks the engine at the moment of the scrape."""

    def collect(self) -> Iterator[Metric]:
        from conversations.services.engine import engine

        stats = engine().stats()
        gauges = {
            "loaded": ("Whether the model is in memory.", float(stats.loaded)),
            "slots": ("Replies that can be generated at once.", stats.slots),
            "running": ("Replies being generated.", stats.running),
            "waiting": ("Replies waiting for a slot.", stats.waiting),
            "load_seconds": ("How long loading the model took.", stats.load_seconds),
            "kv_cache_bytes": ("Memory of kept keys and values.", stats.kv_cache_bytes),
            "kv_cache_conversations": (
                "Conversations whose keys and values are kept.",
                stats.kv_cache_conversations,
            ),
        }
        counters = {
            "tokens_generated": ("Tokens generated.", stats.totals.tokens),
            "prompt_tokens": ("Tokens of prompts.", stats.totals.prompt_tokens),
            "prompt_tokens_reused": (
                "Tokens of prompts whose keys and values were kept from an earlier reply.",
                stats.totals.reused_tokens,
            ),
            "engine_finished": ("Replies written to their end.", stats.totals.finished),
            "engine_abandoned": ("Replies left before their end.", stats.totals.abandoned),
            "engine_refused": ("Replies refused because the line was full.", stats.totals.refused),
            "engine_crashes": (
                "Times the model failed and was started anew.",
                stats.totals.crashes,
            ),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"chatbot_engine_{name}", text, value=value)
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"chatbot_{name}", text, value=value)


REGISTRY.register(EngineCollector())
