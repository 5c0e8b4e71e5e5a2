"""Our engine and other programs with models of the same shape, measured side by side."""
