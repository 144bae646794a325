"""The examples of the reference library's documents, with our classes.

They are taken from the installed library's docstrings, and from its pages if those are beside the
repository. Three things are replaced: lines that import from the library or from the network's
clients, the name of the checkpoint, and the image of a URL, for which a bundled sample is read.
"""

from __future__ import annotations

import doctest
import inspect
import io
import json
import re
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from PIL import Image

from documented import PARAMETERS
from napari_clipseg import engine
from napari_clipseg.sample_data import load_sample

PAGES = Path(__file__).parents[3] / "shared" / "seeds"
REPLACED = re.compile(
    r"(>>> )(from transformers[\w.]* import|import (requests|httpx)|"
    r"from huggingface_hub\S* import).*"
)
CHECKPOINT = re.compile(r"CIDAS/clipseg-[\w-]+")
BLOCK = re.compile(r"(?ms)^ *```(?:python)?\n( *>>> .*?)^ *```")
WRITTEN_WITH = {"AutoProcessor": "CLIPSegProcessor", "AutoTokenizer": "CLIPTokenizer"}


def blocks_in(name, text):
    """Return a page's examples by name."""
    return {f"{name} {i}": block for i, block in enumerate(BLOCK.findall(text))}


def docstrings():
    """Return the examples in the docstrings of the documented classes and methods."""
    found = {}
    for name in PARAMETERS:
        kind, _, method = name.partition(".")
        thing = getattr(transformers, kind)
        if method:
            thing = getattr(thing, method, None)  # newer versions may have it no more
        found |= blocks_in(name, inspect.getdoc(thing) or "")
    return found


def pages():
    """Return the examples of the pages that are beside the repository."""
    return {
        key: block
        for path in sorted(PAGES.glob("*.txt"))
        for key, block in blocks_in(path.stem[:3], path.read_text(encoding="utf-8")).items()
    }


@pytest.fixture(scope="module")
def folder(checkpoint, tmp_path_factory):
    """A checkpoint of random weights that reads images of 352 x 352, as the published ones do."""
    folder = tmp_path_factory.mktemp("published")
    for path in checkpoint("small").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    path = folder / "preprocessor_config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"size": {"height": 352, "width": 352}}))
    return folder


def a_picture():
    file = io.BytesIO()
    Image.fromarray(load_sample("shapes").image).save(file, "png")
    file.seek(0)
    return file


@contextmanager
def stream(method, url):
    yield SimpleNamespace(read=a_picture().read)


def namespace():
    """Return what the replaced lines import."""
    ours = {name: getattr(engine, name) for name in engine.__all__}
    return {
        **ours,
        **{name: ours[here] for name, here in WRITTEN_WITH.items()},
        "requests": SimpleNamespace(get=lambda url, stream: SimpleNamespace(raw=a_picture())),
        "httpx": SimpleNamespace(stream=stream),
        "load_image": lambda url: Image.open(a_picture()),
    }


def run(block, folder):
    """Run an example; return what it has made by name."""
    code = CHECKPOINT.sub(str(folder), REPLACED.sub(r"\g<1>pass", inspect.cleandoc("\n" + block)))
    known = namespace()
    example = doctest.DocTestParser().get_doctest(code + "\n", dict(known), "example", None, 0)
    runner, said = doctest.DocTestRunner(verbose=False), []
    # Models of the full size, of random weights, need no memory there.
    with torch.device("cpu" if str(folder) in code else "meta"):
        runner.run(example, out=said.append, clear_globs=False)
    assert not said, "".join(said)
    return {key: x for key, x in example.globs.items() if key not in known}


# name: an example's result, and what it is
RESULTS = {
    "logits": (3, 352, 352),
    "text_features": (2, 24),
    "image_features": (1, 24),
    "logits_per_image": (1, 2),
    "probs": (1, 2),
}


@pytest.mark.parametrize("block", [pytest.param(x, id=name) for name, x in docstrings().items()])
def test_documented_examples_run(block, folder):
    made = run(block, folder)
    assert {"configuration", "config", "outputs", *RESULTS} & made.keys()
    for name in RESULTS.keys() & made.keys():
        assert tuple(made[name].shape) == RESULTS[name]
        assert made[name].isfinite().all()
    if "configuration" in made:
        assert made["configuration"] == made["model"].config


def test_each_documented_class_has_an_example():
    named = " ".join(docstrings())
    methods = [name for name in PARAMETERS if "forward" in name or "get_" in name]
    configs = [name for name in PARAMETERS if name.endswith("Config")]
    assert all(name in named for name in methods + configs)


@pytest.mark.skipif(not PAGES.is_dir(), reason="the documents are not beside the repository")
def test_examples_of_the_pages_run(folder):
    found = pages()
    assert len(found) == 9
    for name, block in found.items():
        assert run(block, folder), name
