"""Scenes of simple shapes, drawn from seeds, with the prompts and the truth of each."""
