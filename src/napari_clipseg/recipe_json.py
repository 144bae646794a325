"""The JSON of a recipe: written, checked against its schema, and read in any version."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_clipseg.engine.prompts import Average, Blend
from napari_clipseg.images.labels.instances import InstanceOptions
from napari_clipseg.images.rendering import Appearance
from napari_clipseg.images.tiling.plan import Detail
from napari_clipseg.learned import LearnedPrompt
from napari_clipseg.prompts import Prompt

FORMAT = "napari-clipseg recipe"
# What makes the next version of an older one: the first makes version 2 of version 1, and so on.
UPGRADES: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = ()
SHOWN_CHARACTERS = 60


def prompts_to_json(prompts: Sequence[Any], names: Sequence[str | None] = ()) -> list[Any]:
    """Return resolved prompts, and their names if they have any, as JSON values."""
    named = zip(prompts, names or (None,) * len(prompts), strict=True)
    return [_prompt_to_json(prompt, name) for prompt, name in named]


def fields_to_dict(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON values of a recipe's fields; of its prompts, what `prompts_to_json` gave."""
    planes, region, instances = fields["planes"], fields["region"], fields["instances"]
    appearance = fields["appearance"]
    return {
        "format": FORMAT,
        "version": version(),
        "prompts": fields["prompts"],
        "negative_prompts": fields["negative_prompts"],
        "model": fields["model"],
        "weights": fields["weights"],
        "detail": _plain(asdict(fields["detail"])),
        "planes": None if planes is None else _planes_to_json(planes),
        "region": None if region is None else np.asarray(region, float).tolist(),
        "level": _plain(fields["level"]),
        "appearance": {
            "contrast": _plain(appearance.contrast),
            "percentiles": _plain(appearance.percentiles),
            "gamma": _plain(appearance.gamma),
            "invert": bool(appearance.invert),
            "channels": _plain(appearance.channels),
            "colormap": _colormap_to_json(appearance.colormap),
        },
        "threshold": _plain(fields["threshold"]),
        "low_threshold": _plain(fields["low_threshold"]),
        "instances": None if instances is None else _plain(asdict(instances)),
        "refine_edges": fields["refine_edges"],
    }


def fields_of(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the fields of the recipe that JSON values hold.

    Parameters
    ----------
    values : mapping
        Of this version of the format, or an older one.
    source : str
        Where they are from, for errors.

    Raises
    ------
    ValueError
        If they are no recipe, of a newer version, or a field is unknown or wrong.
    """
    current = _upgraded(values, source)
    _check(current, source)
    fields = {key: value for key, value in current.items() if key not in ("format", "version")}
    names = [one.get("name") if isinstance(one, dict) else None for one in fields["prompts"]]
    if any(names):
        fields["names"] = names
    for field in ("prompts", "negative_prompts"):
        fields[field] = [_prompt_from_json(one) for one in fields.get(field, [])]
    for field, read in _READ.items():
        if fields.get(field) is not None:
            fields[field] = read(fields[field])
    return fields


def version() -> int:
    """Return the version of the format that is written."""
    return 1 + len(UPGRADES)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a recipe, of the version that is written."""
    text = files("napari_clipseg").joinpath("recipe.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def hash_of(values: Mapping[str, Any]) -> str:
    """Return "sha256:" and the hash of a recipe's JSON values, whatever their order and layout."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def check_hash(record: Mapping[str, Any], name: str) -> None:
    """Raise ValueError if the recipe of a record is not the one that was written."""
    written = record.get("recipe_hash")
    if written is not None and written != hash_of(record["recipe"]):
        raise ValueError(
            f"The recipe in {name} is not the one that was written: its hash is another one. Take "
            f"the recipe from another file of this result."
        )


def to_text(values: Mapping[str, Any]) -> str:
    """Return JSON values as text: a field a line, lists of numbers on one line.

    Raises
    ------
    ValueError
        If a number is NaN or infinite, which JSON cannot hold.
    """
    try:
        return _written(values, 0) + "\n"
    except ValueError as error:
        raise ValueError(
            "The recipe holds NaN or an infinite number, which JSON cannot hold. Replace it."
        ) from error


def _written(value: Any, depth: int) -> str:
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, Mapping) and value:
        lines = [f"{inner}{json.dumps(k)}: {_written(x, depth + 1)}" for k, x in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{outer}}}"
    if isinstance(value, list) and any(isinstance(x, list | Mapping | str) for x in value):
        lines = [f"{inner}{_written(x, depth + 1)}" for x in value]
        return "[\n" + ",\n".join(lines) + f"\n{outer}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _upgraded(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the values in the version that is written."""
    if not isinstance(values, Mapping) or values.get("format") != FORMAT:
        raise ValueError(f"{source} is no recipe: it lacks the field 'format' with {FORMAT!r}.")
    found = values.get("version")
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(f"{source}: version is {found!r}; wanted a whole number from 1.")
    if found > version():
        raise ValueError(
            f"{source} is of version {found}; this napari-clipseg reads up to version "
            f"{version()}. Update it: python -m pip install -U napari-clipseg"
        )
    current = dict(values)
    for upgrade in UPGRADES[found - 1 :]:
        current = upgrade(current)
    return current | {"version": version()}


def _check(values: dict[str, Any], source: str) -> None:
    """Raise ValueError with the name of a field that is unknown, missing or wrong."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import relevance

    errors = sorted(Draft202012Validator(schema()).iter_errors(values), key=relevance)
    if not errors:
        return
    error = errors[-1]
    field = error.json_path.removeprefix("$").removeprefix(".")
    place = f"{source}: {field or 'a recipe'}"
    if error.validator == "additionalProperties":
        known = error.schema["properties"]
        unknown = sorted(set(error.instance) - set(known))
        raise ValueError(f"{place} has no field {unknown[0]!r}; wanted {', '.join(known)}.")
    if error.validator == "required":
        raise ValueError(f"{place} lacks a field: {error.message}.")
    found = json.dumps(error.instance)
    shown = found if len(found) <= SHOWN_CHARACTERS else found[:SHOWN_CHARACTERS] + "…"
    raise ValueError(f"{place} is {shown}; wanted {error.schema['description']}.")


def _prompt_to_json(prompt: Any, name: str | None = None) -> Any:
    given = {} if name is None else {"name": name}
    if isinstance(prompt, str):
        return {"text": prompt, **given} if given else prompt
    if isinstance(prompt, Average):
        return {"average": [_prompt_to_json(one) for one in prompt.prompts], **given}
    if isinstance(prompt, Blend):
        text, image = _prompt_to_json(prompt.text), _prompt_to_json(prompt.image)
        return {"blend": {"text": text, "image": image, "weight": prompt.weight}, **given}
    if isinstance(prompt, LearnedPrompt):
        return {"learned": base64.b64encode(prompt.to_bytes()).decode(), **given}
    if prompt.ndim == 1:
        # The shortest digits that give the same float32.
        return {"vector": [float(str(one)) for one in prompt.astype(np.float32)], **given}
    stream = io.BytesIO()
    Image.fromarray(prompt).save(stream, "PNG", optimize=True)
    return {"image": base64.b64encode(stream.getvalue()).decode(), **given}


def _prompt_from_json(value: Any) -> Prompt:
    if isinstance(value, str):
        return value
    if "text" in value:
        return str(value["text"])
    if "average" in value:
        return Average([_prompt_from_json(one) for one in value["average"]])
    if "blend" in value:
        text, image = (_prompt_from_json(value["blend"][part]) for part in ("text", "image"))
        return Blend(text, image, value["blend"]["weight"])
    if "vector" in value:
        return _vector(value["vector"])
    if "learned" in value:
        data = base64.b64decode(value["learned"])
        return LearnedPrompt.from_bytes(data, "The field 'learned' of a prompt")
    try:
        with Image.open(io.BytesIO(base64.b64decode(value["image"], validate=True))) as png:
            return np.asarray(png.convert("RGB"))
    except (ValueError, OSError) as error:
        raise ValueError(f"the image of a prompt is no PNG in base64: {error}") from error


def _vector(values: Sequence[float]) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):
            vector = np.array(values, np.float64).astype(np.float32)
    except OverflowError:  # a whole number beyond float64
        vector = np.array([np.inf], np.float32)
    if not np.isfinite(vector).all():
        raise ValueError("the vector of a prompt has a value that is too large for float32")
    return vector


def _planes_to_json(planes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _positions_to_json(one) for name, one in planes.items()}


def _positions_to_json(positions: Any) -> int | str:
    if isinstance(positions, range):
        forwards = positions.step > 0
        end = positions[-1] + (1 if forwards else -1)
        # Just beyond the last plane, or the first, a slice has no number for its end.
        beyond = end == 0 if forwards else end == -1
        positions = slice(positions.start, None if beyond else end, positions.step)
    if not isinstance(positions, slice):
        return int(positions)
    start, stop, step = (
        "" if one is None else str(int(one))
        for one in (positions.start, positions.stop, positions.step)
    )
    return f"{start}:{stop}:{step}" if step else f"{start}:{stop}"


def _planes_from_json(planes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _slice(one) if isinstance(one, str) else one for name, one in planes.items()}


def _slice(text: str) -> slice:
    return slice(*(int(one) if one else None for one in text.split(":")))


def _colormap_to_json(colormap: NDArray[np.uint8] | str | None) -> str | None:
    if colormap is None or isinstance(colormap, str):
        return colormap
    return " ".join(f"#{bytes(color.tolist()).hex()}" for color in colormap)


def _colormap_from_json(colors: str) -> NDArray[np.uint8] | str:
    if not colors.startswith("#"):
        return colors
    return np.array([list(bytes.fromhex(color[1:])) for color in colors.split()], np.uint8)


def _appearance_from_json(values: Mapping[str, Any]) -> Appearance:
    fields = dict(values)
    if fields.get("colormap") is not None:
        fields["colormap"] = _colormap_from_json(fields["colormap"])
    if "percentiles" in fields:
        fields["percentiles"] = tuple(fields["percentiles"])
    return Appearance(**fields)


def _built(kind: Callable[..., Any], values: Mapping[str, Any]) -> Any:
    return kind(**values)


def _plain(value: Any) -> Any:
    """Return numpy's numbers, and tuples, as JSON has them."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, Sequence | np.ndarray):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


_READ: dict[str, Callable[[Any], Any]] = {
    "detail": partial(_built, Detail),
    "planes": _planes_from_json,
    "appearance": _appearance_from_json,
    "instances": partial(_built, InstanceOptions),
}
