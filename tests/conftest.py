"""What the tests share. Nothing heavy is imported before a test asks for it."""

from __future__ import annotations

import pytest


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
