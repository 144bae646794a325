"""The decoder fitted to whole masks of several images: a checkpoint of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_clipseg.engine.checkpoints.json_files import CONFIG_FILE, read_json, write_json
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.loading import load
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.prompts import as_prompts, resolved
from napari_clipseg.teaching.examples import Example, examples_of, read_mask
from napari_clipseg.teaching.views import Views

# Importing this module must not import torch, which takes seconds: only a fit needs it.
if TYPE_CHECKING:
    from torch import Tensor

    from napari_clipseg.engine.modeling.decoder import CLIPSegDecoder
    from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation

Float32 = NDArray[np.float32]

RECORD_FILE = "fine_tuning.json"
EPOCHS = 40
LEARNING_RATE = 5e-4
DECAY = 1e-2
BATCH = 8
HELD_OUT = 4  # of so many images one is held out
LEAST_IMAGES = 3  # with fewer, none is
SMOOTH = 1.0  # of the Dice loss, in pixels


@dataclass(frozen=True)
class FineTuned:
    """What fine-tuning gave.

    Attributes
    ----------
    folder : Path
        The new checkpoint; use it as a model.
    before, after : float, optional
        Mean IoU over the held-out images and prompts, with the parent's decoder and with the new
        one, at the checkpoint's threshold; None where no image was held out.
    epochs : int
        After how many the decoder was the best on held-out images, and was kept.
    held_out : tuple of str
        Names of the images that were held out.

    Examples
    --------
    >>> from pathlib import Path
    >>> from napari_clipseg import FineTuned
    >>> found = FineTuned(Path("nuclei"), 0.41, 0.83, 12, ("image 3",))
    >>> found.after > found.before
    True
    """

    folder: Path
    before: float | None
    after: float | None
    epochs: int
    held_out: tuple[str, ...]


def fine_tune(
    images: Sequence[Any],
    masks: Sequence[Any],
    prompts: Any,
    output: str | Path,
    *,
    model: str | Path | Engine = "demo",
    detail: Detail | str | float = "whole",
    appearance: Appearance | None = None,
    axes: str | Sequence[str] | None = None,
    epochs: int = EPOCHS,
    step: Callable[[str], Any] = lambda message: None,
) -> FineTuned:
    """Fit a checkpoint's decoder to whole masks, and write it as a checkpoint of its own.

    For who has masks of several images: strokes are for `teach`. The two towers stay as they are,
    so that the checkpoint still knows all words; its decoder moves to what these images and
    prompts mean, and may forget others. From three images on, every fourth is held out, and the
    decoder is kept as it was when it found most in those; that may be the parent's.

    The loss is binary cross-entropy plus the Dice loss (https://arxiv.org/abs/1606.04797),
    minimised by AdamW; each tile is seen as it is and mirrored.

    Parameters
    ----------
    images : sequence
        As `segment` takes them.
    masks : sequence of array-like of int, or Labels layers
        One for each image, of its shape without channels: 0 for none of the prompts, 1 for the
        first prompt, 2 for the second, and so on. With one prompt, every other number is the
        thing, so that labels of single objects will do.
    prompts : prompt or sequence of prompts
        What the masks show; as `segment` takes them.
    output : str or Path
        The folder to make; it must be empty or new. It is only made if it is complete.
    model : str, Path or Engine
        The parent.
    detail, appearance, axes
        As for `segment`; use the same there.
    epochs : int
        How often each tile is seen.
    step : callable
        Called with what comes next; it may raise to stop. Nothing is written then.

    Returns
    -------
    FineTuned
        The folder, and what it is worth. The folder's ``fine_tuning.json`` and its config name
        the parent.

    Raises
    ------
    ValueError
        If masks do not fit the images or the prompts, or show nothing.
    TypeError
        If masks are no whole numbers.
    CheckpointError
        If the folder exists, or cannot be written.

    Examples
    --------
    >>> from napari_clipseg import fine_tune
    >>> from napari_clipseg.sample_data import load_sample
    >>> image = load_sample("micrograph").image[:96, :96]
    >>> tuned = fine_tune([image], [image > 150], "bright spots", "bright-spots", epochs=1)
    >>> str(tuned.folder), tuned.held_out  # one image alone: none is held out
    ('bright-spots', ())
    """
    output = Path(output)
    from napari_clipseg.engine.checkpoints.new_folder import require_new

    require_new(output)
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs is {epochs!r}; wanted a whole number from 1 on.")
    engine = model if isinstance(model, Engine) else load(model)
    given = [resolved(one, i) for i, one in enumerate(as_prompts(prompts), 1)]
    vectors = engine.embed(given)
    detail = detail if isinstance(detail, Detail) else Detail(detail)  # type: ignore[arg-type]
    if len(images) != len(masks) or not images:
        raise ValueError(
            f"Got {len(images)} images and {len(masks)} masks; wanted one mask for each image."
        )
    examples, names, records = [], [], []
    for number, (image, mask) in enumerate(zip(images, masks, strict=True), 1):
        step(f"Looking at image {number} of {len(images)}")
        views = Views(
            image,
            engine,
            detail=detail,
            appearance=appearance or Appearance(),
            axes=axes,
        )
        try:
            name = views.name if views.name != "image" else f"image {number}"
            found = read_mask(mask, views, len(given), name)
            own, digests = examples_of(engine, views, found, len(given))
        finally:
            views.close()
        examples.append(own)
        names.append(name)
        records.append({"name": name, "shape": list(found.shape), "tiles": digests})
    if not any(one.target.any() for own in examples for one in own):
        raise ValueError(
            "The masks show nothing: all their pixels are 0. Give masks with 1 where the first "
            "prompt's thing is."
        )
    tested = range(HELD_OUT - 2, len(images), HELD_OUT) if len(images) >= LEAST_IMAGES else ()
    held_out = [one for i in tested for one in examples[i]]
    training = [one for i, own in enumerate(examples) if i not in tested for one in own]
    network = _fresh(engine)
    before, after, kept = _fit(network.decoder, engine, training, held_out, vectors, epochs, step)
    step("Writing the checkpoint")
    record = {
        "parent": {"model": engine.name, "weights": engine.weights},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "prompts": [one if isinstance(one, str) else type(one).__name__ for one in given],
        "images": records,
        "held_out": [names[i] for i in tested],
        "iou_before": before,
        "iou_after": after,
        "epochs": kept,
        "detail": detail.tile_size,
    }
    _write(network, engine, output, record)
    return FineTuned(output, before, after, kept, tuple(names[i] for i in tested))


def _fresh(engine: Engine) -> CLIPSegForImageSegmentation:
    """Return the parent's network anew: the engine's own has other kernels, and others use it."""
    from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation

    return CLIPSegForImageSegmentation.from_pretrained(engine.name).to(engine.device)


def _fit(
    decoder: CLIPSegDecoder,
    engine: Engine,
    training: Sequence[Example],
    held_out: Sequence[Example],
    vectors: Float32,
    epochs: int,
    step: Callable[[str], Any],
) -> tuple[float | None, float | None, int]:
    """Fit the decoder in place; return the held-out IoU before and after, and the best epoch."""
    import torch

    threshold = engine.config.default_threshold
    prompts = torch.from_numpy(vectors).to(engine.device)
    # `reduce` stays: its answers are what was cached.
    fitted = [x for name, x in decoder.named_parameters() if not name.startswith("reduces.")]
    adam = torch.optim.AdamW(fitted, lr=LEARNING_RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs)
    rng = np.random.default_rng(0)
    before = best = _iou(decoder, held_out, prompts, threshold)
    kept, state = (0, _copy(decoder)) if best is not None else (epochs, None)
    for epoch in range(1, epochs + 1):
        order = rng.permutation(len(training))
        for start in range(0, len(order), BATCH):
            step(f"Fitting the decoder: {epoch} of {epochs}")
            batch = [training[i] for i in order[start : start + BATCH]]
            with torch.enable_grad():
                loss = _loss(decoder, batch, prompts)
                gradients = torch.autograd.grad(loss, fitted)
            for parameter, gradient in zip(fitted, gradients, strict=True):
                parameter.grad = gradient
            adam.step()
        schedule.step()
        now = _iou(decoder, held_out, prompts, threshold)
        if now is not None and best is not None and now > best:
            best, kept, state = now, epoch, _copy(decoder)
    if state is not None:
        decoder.load_state_dict(state)
    return before, best, kept


def _logits(decoder: CLIPSegDecoder, examples: Sequence[Example], prompts: Tensor) -> Tensor:
    """Return ``(examples, rows, columns)``; all tiles must be seen at one size."""
    import torch

    # Clones, out of inference mode, in which the engine encodes.
    reduced = [
        torch.cat([one.features.reduced[i] for one in examples]).to(prompts.device).clone()
        for i in range(len(examples[0].features.reduced))
    ]
    asked = prompts[[one.prompt for one in examples]]
    return decoder.segment(reduced, asked, examples[0].features.grid)


def _loss(decoder: CLIPSegDecoder, batch: Sequence[Example], prompts: Tensor) -> Tensor:
    import torch
    from torch.nn import functional

    parts = []
    for group in _of_one_size(batch):
        logits = _logits(decoder, group, prompts)
        target, inside = (
            torch.from_numpy(np.stack(arrays)).to(logits.device)
            for arrays in ([one.target for one in group], [one.inside for one in group])
        )
        entropy = functional.binary_cross_entropy_with_logits(logits, target, weight=inside)
        probability = logits.sigmoid() * inside
        both = 2 * (probability * target).sum((1, 2)) + SMOOTH
        dice = 1 - both / (probability.sum((1, 2)) + target.sum((1, 2)) + SMOOTH)
        parts.append(len(group) * (entropy + dice.mean()))
    return torch.stack(parts).sum() / len(batch)


def _iou(
    decoder: CLIPSegDecoder, examples: Sequence[Example], prompts: Tensor, threshold: float
) -> float | None:
    """Return the mean IoU over tiles and prompts; None without any thing to find."""
    import torch

    found = []
    with torch.no_grad():
        for start in range(0, len(examples), BATCH):
            for group in _of_one_size(examples[start : start + BATCH]):
                marked = _logits(decoder, group, prompts).sigmoid().cpu().numpy() > threshold
                for own, one in zip(marked, group, strict=True):
                    own = own & (one.inside > 0.5)
                    truth = one.target > 0.5
                    if (either := (own | truth).sum()) > 0:
                        found.append((own & truth).sum() / either)
    return float(np.mean(found)) if found else None


def _of_one_size(examples: Sequence[Example]) -> list[list[Example]]:
    """Return examples in groups that can be decoded together."""
    groups: dict[tuple[int, int], list[Example]] = {}
    for one in examples:
        groups.setdefault(one.features.grid, []).append(one)
    return list(groups.values())


def _copy(decoder: CLIPSegDecoder) -> dict[str, Tensor]:
    return {name: x.detach().clone() for name, x in decoder.state_dict().items()}


def _write(
    network: CLIPSegForImageSegmentation, engine: Engine, output: Path, record: dict[str, Any]
) -> None:
    from napari_clipseg.engine.checkpoints.new_folder import new_folder
    from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor

    size = sum(x.nbytes for x in network.state_dict().values())
    with new_folder(output, size) as partial:
        network.save_pretrained(partial)
        CLIPSegProcessor.from_pretrained(engine.name).save_pretrained(partial)
        config = read_json(partial / CONFIG_FILE)
        write_json(partial / CONFIG_FILE, {**config, "parent": record["parent"]})
        write_json(partial / RECORD_FILE, record)
