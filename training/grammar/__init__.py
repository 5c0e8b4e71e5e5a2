"""Dialogues made from rules, in which every answer follows from the speaker's persona lines."""
