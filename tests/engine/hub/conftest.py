"""What the tests of the hub share: an empty cache, and downloads from a hub on the loopback."""

from __future__ import annotations

import pytest

from fake_hub import NAME


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    from napari_clipseg.engine.hub import transfer

    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(transfer, "PAUSE", 0)
    return folder


@pytest.fixture
def get(hub):
    """Download the hub's checkpoint, its license accepted unless an option says otherwise."""
    from napari_clipseg.engine.hub.downloads import download

    defaults = {"accept_license": True, "endpoint": hub.endpoint}
    return lambda **options: download(NAME, **{**defaults, **options})
