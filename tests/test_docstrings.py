"""The examples in the docstrings of public names run as they are written.

An example may use what ``napari_clipseg`` offers, and numpy as ``np``, without importing it.
"""

from __future__ import annotations

import doctest
import inspect
from importlib import import_module

import numpy as np
import pytest

import napari_clipseg
from painted import hurried

PACKAGES = ("napari_clipseg", "napari_clipseg.engine")
# Each name once, where it is offered first.
PUBLIC = {
    name: package
    for package in reversed(PACKAGES)
    for name in import_module(package).__all__
    if not name.startswith("__")
}
LIKE_PRINTED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples_of(name: str) -> list[doctest.DocTest]:
    """Return the examples of a public name, and those of a class's own methods."""
    thing = getattr(import_module(PUBLIC[name]), name)
    known = {public: getattr(napari_clipseg, public) for public in napari_clipseg.__all__}
    finder = doctest.DocTestFinder()
    found = finder.find(thing, name, inspect.getmodule(thing), globs={"np": np, **known})
    return [one for one in found if one.examples]


def is_error(name: str) -> bool:
    thing = getattr(import_module(PUBLIC[name]), name)
    return inspect.isclass(thing) and issubclass(thing, Exception)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_examples_run(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    with hurried():
        for example in examples_of(name):
            doctest.DocTestRunner(optionflags=LIKE_PRINTED).run(example, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_has_an_example(name: str) -> None:
    assert examples_of(name) or is_error(name)
