"""What the tests share. Nothing heavy is imported before a test asks for it."""

from __future__ import annotations

import gc
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

# Before torch is imported: on models as small as the tests' more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("napari-clipseg", deadline=None)
settings.load_profile("napari-clipseg")
# `tools/fuzz.py` takes this one. A failure is stored apart from those of the tests, printed in a
# form that can be pasted, and drawn again at first.
settings.register_profile(
    "fuzz",
    parent=settings.get_profile("napari-clipseg"),
    max_examples=500,
    print_blob=True,
    derandomize=False,
    database=DirectoryBasedExampleDatabase(".hypothesis/fuzz"),
)


def pytest_collection_modifyitems(items):
    """Of several processes, one has all tests of windows: they share a screen, and its focus.

    The tests of a file share what they load, and stay together, too. Windows take longest, so
    they come first: else one process would do them while the others have nothing left.
    """

    def of_windows(item):
        return "widgets" in item.path.parts

    for item in items:
        group = "windows" if of_windows(item) else item.path.stem
        item.add_marker(pytest.mark.xdist_group(group))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: not of_windows(item))


@pytest.fixture(scope="module", autouse=True)
def _frozen():
    """Let the garbage collector leave alone what earlier modules loaded: there is much of it."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Make random checkpoint folders, by the names of their sizes in ``tools/parity.py``."""
    folders = {}

    def make(size="small"):
        if size not in folders:
            from parity import write_random_checkpoint

            folders[size] = tmp_path_factory.mktemp(size)
            write_random_checkpoint(folders[size], size)
        return folders[size]

    return make


@pytest.fixture(scope="session")
def reference(checkpoint):
    """Load the reference's model of a random checkpoint."""
    models = {}

    def load(size="small"):
        if size not in models:
            from transformers import CLIPSegForImageSegmentation

            models[size] = CLIPSegForImageSegmentation.from_pretrained(checkpoint(size)).eval()
        return models[size]

    return load


@pytest.fixture(scope="session")
def engine(checkpoint):
    """An engine on the small random checkpoint."""
    from napari_clipseg.engine.loading import load

    return load(checkpoint("small"), device="cpu")


@pytest.fixture
def folder(checkpoint, tmp_path):
    """A copy of the small random checkpoint, to be broken."""
    return Path(shutil.copytree(checkpoint("small"), tmp_path / "checkpoint"))


@pytest.fixture
def hub():
    """A hub on the loopback that has the bundled checkpoint under a public name."""
    from fake_hub import serving

    with serving() as hub:
        yield hub
