"""Where checkpoints live: in the package, in a folder, or in the hub's cache on this machine."""

from __future__ import annotations

from pathlib import Path

from napari_clipseg.engine.checkpoints.cached import lacks, snapshot
from napari_clipseg.engine.errors import CheckpointError, NotDownloadedError
from napari_clipseg.engine.checkpoints.catalog import PUBLISHED, offer

BUNDLED = "demo"
KNOWN = tuple(PUBLISHED)
CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


def locate(
    model: str | Path, *, revision: str | None = None, cache_dir: str | Path | None = None
) -> Path:
    """Find a checkpoint's folder. Nothing is ever downloaded here.

    Parameters
    ----------
    model : str or Path
        "demo" for the checkpoint in the package, a folder, or a hub name such as
        "CIDAS/clipseg-rd64-refined" that has been downloaded before.
    revision : str, optional
        Branch, tag or commit of a hub name; "main" by default.
    cache_dir : str or Path, optional
        The hub's cache; by default where huggingface_hub's own settings say.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    NotDownloadedError
        If a hub name is not in the cache, or only in part.
    CheckpointError
        If there is no such folder.
    """
    if str(model) == BUNDLED:
        return CHECKPOINTS / BUNDLED
    try:
        folder = Path(model).expanduser()
        found = str(model) != "" and folder.is_dir()
    except (OSError, RuntimeError):  # too long a name, or the home of nobody
        found = False
    if found:
        return folder
    if not is_hub_name(model):
        raise CheckpointError(
            f"There is no checkpoint {str(model)!r}. Wanted {BUNDLED!r}, an existing folder, or "
            f"a name on the hub such as {KNOWN[0]!r}."
        )
    name = str(model)
    at = f" --revision {revision}" if revision else ""
    command = f"Run `napari-clipseg download {name}{at}`"
    place = snapshot(name, revision, cache_dir)
    if place is None:
        known = offer(name)
        raise NotDownloadedError(
            f"The checkpoint {name}{at and f' at the revision {revision}'} is not on this machine. "
            f"{command} to get it ({known.size_text}). {known.licence_text}",
            name,
        )
    if lacking := lacks(place):
        raise NotDownloadedError(
            f"The checkpoint {name} is on this machine only in part: {place} lacks "
            f"{', '.join(lacking)}. {command} to get the rest.",
            name,
        )
    return place


def is_hub_name(model: str | Path) -> bool:
    """Return whether this can be the name of a checkpoint on the hub: OWNER/NAME."""
    if not isinstance(model, str) or model.count("/") != 1:
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(model)
    except HFValidationError:
        return False
    return True
