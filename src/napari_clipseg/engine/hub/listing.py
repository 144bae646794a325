"""What the hub says about a model: its commit, and size and hash of each file that is needed."""

from __future__ import annotations

from dataclasses import dataclass

from napari_clipseg.engine.checkpoints.catalog import CatalogEntry, catalog_entry
from napari_clipseg.engine.checkpoints.digests import Digest, parse_digest
from napari_clipseg.engine.checkpoints.locate import missing_parts, needed_files
from napari_clipseg.engine.errors import CheckpointError

# Decoder files of the authors' repository are converted together with CLIP.
KINDS = ("clipseg", "clip")


@dataclass(frozen=True)
class RemoteFile:
    """A file on the hub: its name, its size in bytes, and the hash that it must have."""

    name: str
    size: int
    digest: Digest


@dataclass(frozen=True)
class Listing:
    """The files of a checkpoint on the hub, as they are at one commit.

    Attributes
    ----------
    name, commit : str
        Of the model.
    files : tuple of RemoteFile
        The files that are needed; the weights last.
    license : str or None
        As the model's card says.
    """

    name: str
    commit: str
    files: tuple[RemoteFile, ...]
    license: str | None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def entry(self) -> CatalogEntry:
        """What to tell a user: the licenses in the catalog, or else what the card says."""
        said = (("the hub's card", self.license),) if self.license else ()
        return CatalogEntry(self.name, self.size, catalog_entry(self.name).licenses or said)


def ask_hub(name: str, revision: str | None = None, endpoint: str | None = None) -> Listing:
    """Ask the hub which files a checkpoint has; none of them is downloaded.

    Raises
    ------
    CheckpointError
        If the model is no CLIPSeg checkpoint.
    Exception
        Of huggingface_hub, where the hub does not answer; see `hub_errors`.
    """
    from huggingface_hub import HfApi, constants

    info = HfApi(endpoint=endpoint).model_info(
        name, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
    )
    siblings = {one.rfilename: one for one in info.siblings or ()}
    kind = (info.config or {}).get("model_type", "clipseg")
    if kind not in KINDS:
        raise CheckpointError(
            f"{name} on the hub is a model of type {kind!r}; wanted one of {KINDS}. Choose another."
        )
    if missing := missing_parts(siblings):
        raise CheckpointError(
            f"{name} on the hub is no CLIPSeg checkpoint in the public format: it lacks "
            f"{', '.join(missing)}. Choose another, or another revision."
        )
    files = []
    for one in (siblings[file] for file in needed_files(siblings)):
        announced = parse_digest(one.lfs.sha256 if one.lfs else one.blob_id or "")
        if announced is None or one.size is None or info.sha is None:
            raise CheckpointError(
                f"The hub gives no hash for {one.rfilename} of {name}, so it could not be "
                f"verified. If HF_ENDPOINT is set to a mirror, set it to another one."
            )
        files.append(RemoteFile(one.rfilename, one.size, announced))
    return Listing(name, str(info.sha), tuple(files), getattr(info.card_data, "license", None))
