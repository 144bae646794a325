"""From the name of a checkpoint to an engine; the engines that were loaded last are cached."""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from napari_clipseg.engine.checkpoints.locate import FolderState, locate
from napari_clipseg.engine.engine import Engine
from napari_clipseg.engine.errors import DeviceWarning

# Importing this module must not import torch, as in `engine`.
if TYPE_CHECKING:
    import torch

    from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
    from napari_clipseg.engine.runtime.batching import Placed

PRECISIONS = ("float32", "float16", "int8")
LOADED_ENGINES = 3

_Key = tuple[FolderState, str, str | None]
_loaded: OrderedDict[_Key, Engine] = OrderedDict()
_lock = threading.Lock()


def load(
    model: str | Path = "demo",
    *,
    device: str | torch.device | None = None,
    precision: str | None = None,
) -> Engine:
    """Load a checkpoint, or return the engine that was loaded from it before.

    The last three engines are cached, until a file in their folder changes. A file of weights of
    more than 64 MB stays mapped: do not overwrite or truncate it while an engine uses it. Write
    another one and rename it, as `save_pretrained` does.

    Parameters
    ----------
    model : str or Path
        "demo" (comes with the package), a checkpoint folder, or the name of a hub
        checkpoint that has been downloaded before.
    device : str or torch.device, optional
        Such as "cpu", "cuda" or "mps". By default the best one available.
    precision : "float32", "float16" or "int8", optional
        Numbers that the model multiplies. By default float16 on a GPU, if a trial gives the
        same probabilities as float32, and else float32. "int8" is for the CPU: faster, and
        nearly the same.

    Returns
    -------
    Engine
        The same one for the same arguments, as long as it is cached.

    Warns
    -----
    DeviceWarning
        If "float16" is asked for, and its trial fails; the engine is then in float32.

    Raises
    ------
    CheckpointError
        If the checkpoint is not on this machine, or its files are not complete.
    ValueError
        If there is no such device or precision, or the precision is not for this device.

    Examples
    --------
    >>> from napari_clipseg.engine import load
    >>> engine = load("demo", device="cpu")
    >>> engine.name, engine.size, engine.precision, engine.batch_size
    ('demo', (192, 192), 'float32', 1)
    """
    from napari_clipseg.engine.runtime import devices

    place = devices.pick_device(device)
    on_cpu = place == devices.CPU
    _require_precision(precision, str(place), on_cpu)
    if on_cpu:
        precision = precision or "float32"
    folder = locate(model)
    with _lock:
        state = FolderState.of(folder)
        for key in list(_loaded):
            stale = key[0].folder == state.folder and key[0] != state
            if stale or not _loaded[key].is_loaded:
                del _loaded[key]
        key = (state, str(place), precision)
        if key not in _loaded:
            _loaded[key] = _load(str(model), state, place, precision)
        _loaded.move_to_end(key)
        while len(_loaded) > LOADED_ENGINES:
            _loaded.popitem(last=False)
        return _loaded[key]


def _require_precision(precision: str | None, device: str, on_cpu: bool) -> None:
    if precision is not None and precision not in PRECISIONS:
        raise ValueError(
            f"The precision is {precision!r}; wanted one of {', '.join(map(repr, PRECISIONS))}, or "
            f"None for the best."
        )
    if precision == "int8" and not on_cpu:
        raise ValueError(
            f"The precision 'int8' is for the CPU, and the device is {device!r}. Add device='cpu', "
            f"or leave precision out: a GPU computes in float16."
        )
    if precision == "float16" and on_cpu:
        raise ValueError(
            "The precision 'float16' is for a GPU, and the device is 'cpu'. Leave precision out "
            "for float32, or choose 'int8'."
        )


def _load(name: str, state: FolderState, device: torch.device, precision: str | None) -> Engine:
    from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
    from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor
    from napari_clipseg.engine.runtime.batching import Placed
    from napari_clipseg.engine.runtime.devices import CPU
    from napari_clipseg.engine.runtime.int8 import quantize_vision
    from napari_clipseg.engine.runtime.kernels import use_fast_kernels
    from napari_clipseg.engine.runtime.packing import pack_towers

    network = CLIPSegForImageSegmentation.from_pretrained(state.folder)
    processor = CLIPSegProcessor.from_pretrained(state.folder)
    if precision == "int8":
        quantize_vision(network)
    if device == CPU:
        pack_towers(network)
    use_fast_kernels(network)
    placed = Placed(network.to(device), device)
    if device != CPU and precision != "float32":
        half = _in_float16(placed, processor)
        if half is None and precision == "float16":
            warnings.warn(
                f"The model {name!r} gives other probabilities in float16 on {device}; it is "
                f"loaded in float32, which takes about twice as long.",
                DeviceWarning,
                stacklevel=3,
            )
        placed = half or placed
    return Engine(placed.network, processor, name, device, source=state)


def _in_float16(placed: Placed, processor: CLIPSegProcessor) -> Placed | None:
    from napari_clipseg.engine.runtime.precision import TRIAL_TEXT, half_if_it_holds, trial_image

    inputs = processor(text=TRIAL_TEXT, images=trial_image())
    return half_if_it_holds(placed, inputs["input_ids"], inputs["pixel_values"])
