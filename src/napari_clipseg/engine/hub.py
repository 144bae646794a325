"""Where checkpoints live: in the package, in a folder, or in the hub's cache on this machine."""

from __future__ import annotations

from pathlib import Path

from napari_clipseg.engine.errors import CheckpointError

BUNDLED = "demo"
KNOWN = ("CIDAS/clipseg-rd64-refined", "CIDAS/clipseg-rd64", "CIDAS/clipseg-rd16")
CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"


def locate(model: str | Path) -> Path:
    """Find a checkpoint's folder. Nothing is ever downloaded here.

    Parameters
    ----------
    model : str or Path
        "demo" for the checkpoint in the package, a folder, or a hub name such as
        "CIDAS/clipseg-rd64-refined" that has been downloaded before.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    CheckpointError
        If there is no such folder, and no such name in the hub's cache.
    """
    if str(model) == BUNDLED:
        return CHECKPOINTS / BUNDLED
    try:
        folder = Path(model).expanduser()
        found = str(model) != "" and folder.is_dir()
    except (OSError, RuntimeError):  # too long a name, or the home of nobody
        folder, found = Path(model), False
    if found:
        return folder
    looks_like_a_path = isinstance(model, Path) or folder.is_absolute() or "\\" in str(model)
    if looks_like_a_path or str(model).count("/") != 1 or str(model).startswith((".", "~")):
        raise CheckpointError(
            f"There is no checkpoint {str(model)!r}. Wanted {BUNDLED!r}, an existing folder, or "
            f"a name on the hub such as {KNOWN[0]!r}."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(str(model), local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        raise CheckpointError(
            f"The checkpoint {model} is not on this machine. To get it, read its licence on the "
            f"model's card (for CIDAS/clipseg-*: the hub says apache-2.0, the authors' own "
            f"repository says that its MIT licence leaves the weights out), then run "
            f"`hf download {model}` (about 600 MB) and try again."
        ) from None
