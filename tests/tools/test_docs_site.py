"""Links of README.md and docs/ as the site needs them."""

from __future__ import annotations

import pytest

from docs_site import REPOSITORY, public_names, reference, site_link, site_markdown


@pytest.mark.parametrize(
    ("source", "target", "wanted"),
    [
        pytest.param("README.md", "docs/use.md", "use.md", id="a page"),
        pytest.param("README.md", "docs/images.md#edges", "images.md#edges", id="its anchor"),
        pytest.param("README.md", "docs/index.md", "architecture.md", id="a page that has moved"),
        pytest.param("README.md", "docs/pictures/a.png", "pictures/a.png", id="a picture"),
        pytest.param("README.md", "LICENSE", f"{REPOSITORY}/blob/main/LICENSE", id="no page"),
        pytest.param("README.md", "#use-it", "#use-it", id="the same page"),
        pytest.param("README.md", "https://napari.org", "https://napari.org", id="an address"),
        pytest.param("docs/use.md", "images.md#edges", "images.md#edges", id="its neighbour"),
        pytest.param("docs/use.md", "../README.md", "index.md", id="the home page"),
        pytest.param("docs/index.md", "use.md", "use.md", id="from a page that has moved"),
        pytest.param("docs/api/engine.md", "../engine.md", "../engine.md", id="from a folder"),
        pytest.param(
            "docs/api/engine.md", "../index.md", "../architecture.md", id="moved, from a folder"
        ),
        pytest.param(
            "docs/use.md",
            "../src/napari_clipseg/recipe.py#L3",
            f"{REPOSITORY}/blob/main/src/napari_clipseg/recipe.py#L3",
            id="a source file",
        ),
    ],
)
def test_site_link(source, target, wanted):
    assert site_link(target, source) == wanted


@pytest.mark.parametrize(
    ("markdown", "wanted"),
    [
        pytest.param("see [a](docs/a.md), [b](docs/b.md)", "see [a](a.md), [b](b.md)", id="links"),
        pytest.param("![a](docs/a.png)", "![a](a.png)", id="a picture"),
        pytest.param("`f[a](docs/a.md)`", "`f[a](docs/a.md)`", id="code in a line"),
        pytest.param(
            "```python\nf[a](docs/a.md)\n```\n[a](docs/a.md)",
            "```python\nf[a](docs/a.md)\n```\n[a](a.md)",
            id="a block of code",
        ),
    ],
)
def test_site_markdown(markdown, wanted):
    assert site_markdown(markdown, "README.md") == wanted


@pytest.fixture
def source(tmp_path):
    """A folder of packages, of which one offers names of the other."""
    for package, stub in (
        ("top", "from .a import b as b\nfrom .low.c import C as C, d as d\n\n__version__: str\n"),
        ("top/low", "from .c import C as C\nfrom .c import e as e\n"),
    ):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.pyi").write_text(stub)
    return tmp_path


def test_public_names(source):
    assert public_names("top", source) == ["b", "C", "d"]
    assert public_names("top.low", source) == ["C", "e"]


@pytest.mark.parametrize(
    ("comment", "entries"),
    [
        ("<!-- names of top -->", ["::: top.b", "::: top.C", "::: top.d"]),
        ("<!-- names of top.low without top -->", ["::: top.low.e"]),
    ],
)
def test_reference(source, comment, entries):
    assert reference(f"# Title\n\n{comment}\n", source).split("\n\n")[1:] == [
        *entries[:-1],
        f"{entries[-1]}\n",
    ]
