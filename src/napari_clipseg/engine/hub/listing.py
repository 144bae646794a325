"""What the hub says of a model: its commit, and the size and hash of each file that is needed."""

from __future__ import annotations

from dataclasses import dataclass

from napari_clipseg.engine.checkpoints.files import lacking, wanted
from napari_clipseg.engine.hub.digests import Digest, digest
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.checkpoints.catalog import Offer, offer

# CLIP is what decoder files of the authors' repository are placed on.
KINDS = ("clipseg", "clip")


@dataclass(frozen=True)
class RemoteFile:
    """A file on the hub: its name, its size in bytes, and what it must hash to."""

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
        Those that are needed; the weights last.
    licence : str or None
        As the model's card says.
    """

    name: str
    commit: str
    files: tuple[RemoteFile, ...]
    licence: str | None

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def offer(self) -> Offer:
        """What to tell a user: what is known here of the licence, or else what the card says."""
        said = (("the hub's card", self.licence),) if self.licence else ()
        return Offer(self.name, self.size, offer(self.name).licences or said)


def ask_hub(name: str, revision: str | None = None, endpoint: str | None = None) -> Listing:
    """Ask the hub what a checkpoint consists of; no file is fetched.

    Raises
    ------
    CheckpointError
        If what is there is no CLIPSeg checkpoint.
    Exception
        Whatever huggingface_hub raises where the hub does not answer; see `hub_errors`.
    """
    from huggingface_hub import HfApi, constants

    info = HfApi(endpoint=endpoint).model_info(
        name, revision=revision, files_metadata=True, timeout=constants.HF_HUB_ETAG_TIMEOUT
    )
    siblings = {one.rfilename: one for one in info.siblings or ()}
    kind = (info.config or {}).get("model_type", "clipseg")
    if kind not in KINDS:
        raise CheckpointError(
            f"{name} on the hub is a model of the kind {kind!r}; wanted one of {KINDS}. Choose "
            f"another."
        )
    if missing := lacking(siblings):
        raise CheckpointError(
            f"{name} on the hub is no CLIPSeg checkpoint in the public format: it lacks "
            f"{', '.join(missing)}. Choose another, or another revision."
        )
    files = []
    for one in (siblings[file] for file in wanted(siblings)):
        announced = digest(one.lfs.sha256 if one.lfs else one.blob_id or "")
        if announced is None or one.size is None or info.sha is None:
            raise CheckpointError(
                f"The hub does not say what {one.rfilename} of {name} must hash to, so it could "
                f"not be checked. If HF_ENDPOINT is set to a mirror, set it to another one."
            )
        files.append(RemoteFile(one.rfilename, one.size, announced))
    return Listing(name, str(info.sha), tuple(files), getattr(info.card_data, "license", None))
