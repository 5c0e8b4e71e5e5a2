"""From dialogues on disk to packed batches."""
