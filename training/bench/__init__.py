"""Our engine and other programs with models of the same shape, measured side by side."""

# How our own programs are named, with their quantization.
OURS = "ours"
