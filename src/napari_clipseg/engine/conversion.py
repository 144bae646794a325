"""Decoders of the original repository (https://github.com/timojl/clipseg) to checkpoint folders.

Its files ``rd64-uni.pth``, ``rd64-uni-refined.pth`` and ``rd16-uni.pth`` hold only what CLIPSeg
adds to CLIP, under other names than the published checkpoints.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from napari_clipseg.engine.checkpoints.json_files import CONFIG_FILE, read_json
from napari_clipseg.engine.checkpoints.locate import locate
from napari_clipseg.engine.checkpoints.new_folder import new_folder, require_new
from napari_clipseg.engine.checkpoints.weight_files import read_pickle, read_weights
from napari_clipseg.engine.checkpoints.weights import fill
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.modeling.config import CLIPSegConfig
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.preprocessing.image_processor import ViTImageProcessor
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor, require_same_vocabulary
from napari_clipseg.engine.preprocessing.tokenizer import CLIPTokenizer

CLIP = "openai/clip-vit-base-patch16"
NAMES = "rd64-uni.pth, rd64-uni-refined.pth or rd16-uni.pth"
CLIP_TYPE = "clip"
# Settings of the published decoders that their files do not hold. The layers are those of the
# authors' quick start and of the published checkpoints; their experiments name (3, 7, 9).
EXTRACT_LAYERS = (3, 6, 9)
HEADS = 4
IMAGE_PROCESSOR = ViTImageProcessor(
    size={"height": 352, "width": 352},
    image_mean=(0.485, 0.456, 0.406),
    image_std=(0.229, 0.224, 0.225),
)
# CLIP, in files that hold it too; and a layer of the original code that is never called.
UNUSED = ("clip_model.", "model.", "reduce.")
# From the original's names to those of the published checkpoints, applied in this order.
RENAMED = (
    (r"^blocks\.", "layers."),
    (r"\.linear([12])\.", r".mlp.fc\1."),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"^trans_conv\.", "transposed_convolution."),
)
# PyTorch's own attention stores its three projections as one tensor.
JOINED = re.compile(r"\.in_proj_(weight|bias)$")


def convert_decoder(
    decoder: str | Path,
    clip: str | Path,
    output: str | Path,
    extract_layers: Sequence[int] = EXTRACT_LAYERS,
) -> Path:
    """Make a checkpoint folder from a decoder file of the original repository and CLIP.

    Parameters
    ----------
    decoder : str or Path
        ``rd64-uni.pth``, ``rd64-uni-refined.pth`` or ``rd16-uni.pth``. Only tensors are
        read: code in it is never run.
    clip : str or Path
        A folder of CLIP ViT-B/16 in the format of the ``transformers`` library, or its name
        on the hub, "openai/clip-vit-base-patch16", if it has been downloaded before.
    output : str or Path
        The folder to make; it must be empty or new. It is only made if it is complete.
    extract_layers : sequence of int
        Vision blocks that the decoder reads, counted from 0, ascending: as many as it has
        blocks. Its file does not say which. The default is what the authors' quick start reads
        the published decoders with; the files of their experiments name 3, 7 and 9.

    Returns
    -------
    Path
        ``output``, in the public format: it can be loaded like any other checkpoint.

    Raises
    ------
    CheckpointError
        If a file is missing, broken or of another kind, if the decoder was trained on a CLIP
        of another size, if CLIP has no such blocks, or if the folder cannot be written.
    ValueError
        If ``extract_layers`` are not ascending whole numbers from 0 on.

    Examples
    --------
    >>> from napari_clipseg.engine import convert_decoder
    >>> convert_decoder("rd64-uni-refined.pth", "demo", "clipseg-refined")
    Traceback (most recent call last):
    ...
    napari_clipseg.engine.errors.CheckpointError: There is no file rd64-uni-refined.pth. ...
    """
    layers = _layers(extract_layers)
    path, folder, output = Path(decoder), locate(clip), Path(output)
    require_new(output)
    shape, state = _read_decoder(path)
    config = _config(path, shape, folder, layers)
    tokenizer = CLIPTokenizer.from_pretrained(folder, config.text_config.max_position_embeddings)
    require_same_vocabulary(folder, config.text_config, tokenizer)
    weights, of_clip = read_weights(folder)
    state |= {f"clip.{name}": tensor for name, tensor in of_clip.items()}
    with torch.device("meta"):
        model = CLIPSegForImageSegmentation(config)
    fill(model, state, f"{path} and {weights} do not make one CLIPSeg")
    with new_folder(output, sum(x.nbytes for x in state.values())) as partial:
        model.save_pretrained(partial)
        CLIPSegProcessor(IMAGE_PROCESSOR, tokenizer).save_pretrained(partial)
    return output


def _layers(extract_layers: Sequence[int]) -> tuple[int, ...]:
    """Return the blocks of CLIP that are to be read, if they can be such."""
    try:
        layers = tuple(map(operator.index, extract_layers))
    except TypeError:
        layers = ()
    if not layers or layers[0] < 0 or list(layers) != sorted(set(layers)):
        raise ValueError(
            f"extract_layers is {extract_layers!r}; wanted ascending whole numbers of CLIP's "
            f"blocks, counted from 0, such as {EXTRACT_LAYERS}."
        )
    return layers


@dataclass(frozen=True)
class _Shape:
    """Sizes of a decoder, and of its CLIP, as the shapes of its tensors give them."""

    blocks: int
    reduce_dim: int
    intermediate_size: int
    refined: bool
    # Of the CLIP that it was trained with.
    vision_width: int
    projection_dim: int
    patch_size: int


def _read_decoder(path: Path) -> tuple[_Shape, dict[str, Tensor]]:
    """Return a decoder's shape, and its tensors under the names of the published checkpoints."""
    choose = f"Choose {NAMES} of the original CLIPSeg repository."
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}. {choose}")
    tensors = read_pickle(path, choose)
    tensors = {name: x for name, x in tensors.items() if not name.startswith(UNUSED)}
    try:
        shape = _shape(tensors)
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} is no CLIPSeg decoder: {error.args[0]} is missing or of another shape. "
            f"{choose}"
        ) from error
    damaged = [name for name, x in tensors.items() if not bool(x.isfinite().all())]
    if damaged:
        raise CheckpointError(
            f"{path} is damaged: {len(damaged)} tensors hold values that are not finite (NaN or "
            f"infinite), such as {damaged[0]}. Get it again. {choose}"
        )
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for pattern, replacement in RENAMED:
            name = re.sub(pattern, replacement, name)
        kind = JOINED.search(name)
        if kind is None or not tensor.ndim:
            state[f"decoder.{name}"] = tensor
            continue
        # (3 * reduce_dim, ...) -> three of (reduce_dim, ...)
        for which, part in zip("qkv", tensor.tensor_split(3), strict=True):
            state[f"decoder.{JOINED.sub('', name)}.{which}_proj.{kind[1]}"] = part
    return shape, state


def _shape(tensors: dict[str, Tensor]) -> _Shape:
    """Read a decoder's sizes from its tensors; KeyError or ValueError name the wrong tensor."""

    def size(name: str, axes: int) -> tuple[int, ...]:
        if tensors[name].ndim != axes:
            raise ValueError(name)
        return tuple(tensors[name].shape)

    reduce_dim, projection_dim = size("film_mul.weight", 2)
    refined = "trans_conv.4.weight" in tensors
    # In a refined decoder each of two steps is a quarter of a patch.
    step = size("trans_conv.4.weight" if refined else "trans_conv.weight", 4)[-1]
    return _Shape(
        blocks=len({name.split(".")[1] for name in tensors if name.startswith("blocks.")}),
        reduce_dim=reduce_dim,
        intermediate_size=size("blocks.0.linear1.weight", 2)[0],
        refined=refined,
        vision_width=size("reduces.0.weight", 2)[1],
        projection_dim=projection_dim,
        patch_size=4 * step if refined else step,
    )


def _config(path: Path, shape: _Shape, folder: Path, layers: tuple[int, ...]) -> CLIPSegConfig:
    """Return the config of a decoder with the CLIP of a folder, if the two fit together."""
    values = read_json(folder / CONFIG_FILE)
    kind = values.get("model_type")
    if kind != CLIP_TYPE:
        raise CheckpointError(
            f"{folder / CONFIG_FILE} describes a model of type {kind!r}, wanted {CLIP_TYPE!r}. "
            f"Choose a folder of {CLIP}."
        )
    if len(layers) != shape.blocks:
        raise CheckpointError(
            f"{path} has {shape.blocks} blocks, which read as many blocks of CLIP; "
            f"extract_layers names {len(layers)}: {list(layers)}. Choose {NAMES}, or name "
            f"{shape.blocks} blocks of CLIP."
        )
    towers = {key: value for key, value in values.items() if key.startswith(("text_", "vision_"))}
    of_decoder = {
        "projection_dim": values.get("projection_dim", CLIPSegConfig.projection_dim),
        "extract_layers": tuple(range(shape.blocks)),
        "reduce_dim": shape.reduce_dim,
        "decoder_num_attention_heads": HEADS,
        "decoder_intermediate_size": shape.intermediate_size,
        "use_complex_transposed_convolution": shape.refined,
    }
    try:
        config = CLIPSegConfig.from_dict(towers | of_decoder)
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{path} does not fit the CLIP of {folder}: {error} Choose a folder of {CLIP}."
        ) from error
    vision = config.vision_config
    if layers[-1] >= vision.num_hidden_layers:
        raise CheckpointError(
            f"extract_layers is {list(layers)}; the CLIP of {folder} has blocks from 0 to "
            f"{vision.num_hidden_layers - 1}. Name other blocks, or choose a folder of {CLIP}."
        )
    found = (vision.hidden_size, config.projection_dim, vision.patch_size)
    wanted = (shape.vision_width, shape.projection_dim, shape.patch_size)
    if found != wanted:
        raise CheckpointError(
            f"{path} was trained with a CLIP of vision width {wanted[0]}, projection {wanted[1]} "
            f"and patches of {wanted[2]} pixels; that of {folder} has {found[0]}, {found[1]} and "
            f"{found[2]}. Choose a folder of {CLIP}."
        )
    return replace(config, extract_layers=layers)
