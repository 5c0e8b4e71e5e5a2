"""The model in memory: prompts in, streamed text out. Knows nothing of the web."""

import os

# ONNX Runtime reports to its maker, and keeps what it could not send in the home directory, unless
# it finds this when it is imported. Nothing here uses the network unless asked to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
