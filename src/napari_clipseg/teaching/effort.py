"""How much is computed for a lesson: all of it, or what fits between two strokes."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Effort:
    """How much is computed for each class.

    Attributes
    ----------
    folds : int
        How often strokes are held out, to weigh the parts and to tell a score; 0 for never.
    trees, trees_held_out : int
        Of each kind of forest, and where strokes are held out.
    decoder_steps : int
        Of the fit of the decoder.
    decoder_rate : float
        Its learning rate at first; it falls to 0.
    sampled : int
        Pixels of all tiles, that show the network what the parts answer.
    network_steps : int
        Of the fit of the network.
    """

    folds: int
    trees: int
    trees_held_out: int
    decoder_steps: int
    decoder_rate: float
    sampled: int
    network_steps: int


FULL = Effort(
    folds=3,
    trees=30,
    trees_held_out=12,
    decoder_steps=30,
    decoder_rate=0.1,
    sampled=16_000,
    network_steps=300,
)
# Somebody waits for the answer to a stroke.
AT_ONCE = replace(FULL, folds=0, trees=8, sampled=8_000)
# And it goes on from the answer to the stroke before.
GOING_ON = replace(AT_ONCE, decoder_steps=6, decoder_rate=0.03, network_steps=80)
