"""The model in memory: prompts in, streamed text out. Knows nothing of the web."""
