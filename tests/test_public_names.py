"""The names at the top of the package: all there, and none of them needs torch or napari."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest

import napari_clipseg
from napari_clipseg.recipe import Recipe

NAMES = sorted(napari_clipseg.__all__)
HEAVY = ("torch", "napari", "qtpy", "magicgui", "huggingface_hub", "tokenizers")
# What the README and the issue of the public API promise; others may come.
PROMISED = {
    "Appearance",
    "Average",
    "Blend",
    "Detail",
    "Engine",
    "Example",
    "InstanceOptions",
    "Recipe",
    "Segmentation",
    "download",
    "load",
    "plan",
    "preview",
    "segment",
}


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_promised_names_are_there():
    assert set(NAMES) >= PROMISED
    assert set(NAMES) <= set(dir(napari_clipseg))


@pytest.fixture(scope="module")
def heavy_after():
    """For each name, what is imported once this name and those before it are."""
    code = f"""
import importlib, json, sys
found = {{}}
for name in {NAMES!r}:
    getattr(importlib.import_module("napari_clipseg"), name)
    found[name] = [heavy for heavy in {HEAVY!r} if heavy in sys.modules]
print(json.dumps(found))
"""
    return json.loads(python(code))


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_imported_without_torch_and_napari(name, heavy_after):
    assert heavy_after[name] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_documented(name):
    assert inspect.getdoc(getattr(napari_clipseg, name))


def test_importing_the_package_imports_nothing_else():
    assert python("import sys, napari_clipseg; print('numpy' in sys.modules)") == "False"


def test_the_documented_classes_are_imported_lazily():
    code = (
        "import sys, napari_clipseg.engine; a = 'torch' in sys.modules; "
        "from napari_clipseg.engine import CLIPSegProcessor, CLIPSegForImageSegmentation; "
        "print(a, 'torch' in sys.modules)"
    )
    assert python(code) == "False True"


@pytest.mark.parametrize("name", ["segment", "plan", "preview"])
def test_signatures_show_the_fields_of_a_recipe(name):
    shown = inspect.signature(getattr(napari_clipseg, name)).parameters
    assert set(inspect.signature(Recipe).parameters) <= set(shown)
    assert "fields" not in shown


def test_a_name_that_is_none():
    with pytest.raises(AttributeError, match="segmant"):
        napari_clipseg.segmant  # noqa: B018
