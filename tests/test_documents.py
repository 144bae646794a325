"""The Python blocks of README.md and docs/ run, in their order, in one namespace a file.

Two comments, which no reader sees, stand in the line before a block::

    <!-- not run -->                  the block is left out
    <!-- run                          what runs before the block, such as the image that it uses
    image = np.zeros((64, 64))
    -->
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from painted import hurried

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(
    r"(?ms)^<!-- run\n(?P<hidden>.*?)^-->$"
    r"|(?P<left_out>^<!-- not run -->\n)?^```python\n(?P<shown>.*?)^```$"
)


def blocks_of(text: str) -> list[str]:
    """Return the code that runs, each block at its own lines, so that errors name the line."""
    found = []
    for match in BLOCK.finditer(text):
        if not match["left_out"]:
            kind = "shown" if match["hidden"] is None else "hidden"
            found.append("\n" * text.count("\n", 0, match.start(kind)) + match[kind])
    return found


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        pytest.param("words\n```python\na = 1\n```\n", ["\n\na = 1\n"], id="a block"),
        pytest.param("```\nls\n```\n", [], id="another language"),
        pytest.param("<!-- not run -->\n```python\na\n```\n", [], id="left out"),
        pytest.param(
            "<!-- not run -->\n```python\na\n```\n```python\nb\n```\n",
            ["\n\n\n\n\nb\n"],
            id="only the first left out",
        ),
        pytest.param(
            "<!-- run\na = 1\n-->\n```python\na\n```\n", ["\na = 1\n", "\n\n\n\na\n"], id="hidden"
        ),
    ],
)
def test_blocks_of(text: str, blocks: list[str]) -> None:
    assert blocks_of(text) == blocks


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_python_blocks_run(document: Path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "__main__"}
    with hurried():
        for block in blocks_of(document.read_text(encoding="utf-8")):
            exec(compile(block, str(document), "exec"), names)


def test_the_architecture_page_names_every_module() -> None:
    page = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    package = page.partition("src/napari_clipseg/\n")[2].partition("\ntests/")[0]
    named = re.findall(r"^ +([\w/]+\.py) ", package, re.MULTILINE)
    found = [path.name for path in (ROOT / "src").rglob("*.py")]
    inner = [name for name in found if name != "__init__.py"]
    assert sorted(named) == sorted([*inner, "__init__.py"])
