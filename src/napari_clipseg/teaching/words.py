"""What is known of how well a learned prompt finds things, in words."""

from __future__ import annotations

from napari_clipseg.learned import LearnedPrompt

BESIDE = {"prompt": "before teaching", "filters": "filters alone"}


def score_in_words(learned: LearnedPrompt) -> str:
    """Return a line for all classes, or for each: how well it will be found.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_clipseg import teach
    >>> from napari_clipseg.sample_data import load_sample
    >>> from napari_clipseg.teaching.words import score_in_words
    >>> image = load_sample("micrograph").image[:64, :64]
    >>> strokes = np.zeros(image.shape, np.uint8)
    >>> strokes[10, 10:20], strokes[40, 10:20] = 1, 2
    >>> score_in_words(teach(image, strokes))
    'Expected agreement (IoU): too few strokes to tell: paint 8 or more of each'
    """
    from napari_clipseg.teaching.score import LEAST_STROKES  # loads SciPy's optimizers

    if not learned.record.get("tested", True):
        return "Expected agreement (IoU): not measured yet"
    too_few = f"too few strokes to tell: paint {LEAST_STROKES} or more of each"
    scores = learned.record.get("scores", [learned.score])
    known = [score for score in scores if score is not None]
    if len(scores) != len(learned.names) or not known:
        return f"Expected agreement (IoU): {too_few}"
    all_beside = learned.record.get("scores_beside", [{}] * len(scores))
    lines = []
    for name, score, beside in zip(learned.names, scores, all_beside, strict=True):
        of = f" of {name}" if len(scores) > 1 else ""
        line = too_few if score is None else f"{score:.2f}"
        others = [
            f"{text} {beside[part]:.2f}"
            for part, text in BESIDE.items()
            if score is not None and beside.get(part) is not None
        ]
        line += f" ({', '.join(others)})" if others else ""
        lines.append(f"Expected agreement (IoU){of}: {line}")
    return "\n".join(lines)
