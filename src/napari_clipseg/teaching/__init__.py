"""Strokes to learned prompts: what is fitted, and how good it is."""
