"""Pages of the documentation's site that lie elsewhere, and links that work on GitHub and there.

MkDocs calls `on_files` and `on_page_markdown`, as ``hooks`` in ``mkdocs.yml`` says. On GitHub,
README.md is the first page, and docs/index.md describes the architecture; on the site, README.md is
the home page, with the architecture beside it. Where a page of the API reference asks for it, the
public names of a package are listed, as its stub has them.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path
from typing import Any

REPOSITORY = "https://github.com/napari-clipseg/napari-clipseg"
# Pages that have another place on the site than below docs/.
MOVED = {
    "README.md": "index.md",
    "docs/index.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}
# Code, in which nothing is a link; or the target of a link, with what stands before it.
# Where the API reference lists the names of a package, but those that another one offers.
NAMES = re.compile(r"<!-- names of (?P<package>[\w.]+)(?: without (?P<other>[\w.]+))? -->")
CODE_OR_LINK = re.compile(r"(?ms)^ *```.*?^ *```|`[^`\n]+`|(?P<before>\]\()(?P<target>[^)\s]+)")


def site_link(target: str, source: str) -> str:
    """Return a link as the site needs it.

    Parameters
    ----------
    target : str
        As written: relative to the file that it stands in, or an address.
    source : str
        That file, from the root of the repository.

    Returns
    -------
    str
        Relative to the page on the site; on GitHub, if the file is no page of it.
    """
    path, mark, anchor = target.partition("#")
    if not path or "://" in path or path.startswith("mailto:"):
        return target
    wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if wanted not in MOVED and not wanted.startswith("docs/"):
        return f"{REPOSITORY}/blob/main/{wanted}{mark}{anchor}"
    start = posixpath.dirname(_place(source)) or "."
    return f"{posixpath.relpath(_place(wanted), start)}{mark}{anchor}"


def site_markdown(markdown: str, source: str) -> str:
    """Return a page with its links as the site needs them; `source` as in `site_link`."""

    def replaced(match: re.Match[str]) -> str:
        if match["target"] is None:
            return match[0]
        return match["before"] + site_link(match["target"], source)

    return CODE_OR_LINK.sub(replaced, markdown)


def public_names(package: str, source: Path) -> list[str]:
    """Return what the stub of a package offers, by name; `source` is the folder of packages."""
    stub = source.joinpath(*package.split("."), "__init__.pyi")
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    names = {alias.asname or alias.name for node in imports for alias in node.names}
    return sorted(names, key=str.lower)


def reference(markdown: str, source: Path) -> str:
    """Return a page with an entry of the API reference for each name that it is to list."""

    def listed(match: re.Match[str]) -> str:
        package, other = match["package"], match["other"]
        elsewhere = public_names(other, source) if other else []
        names = [name for name in public_names(package, source) if name not in elsewhere]
        return "\n\n".join(f"::: {package}.{name}" for name in names)

    return NAMES.sub(listed, markdown)


def _place(source: str) -> str:
    return MOVED.get(source, source.removeprefix("docs/"))


def on_files(files: Any, config: Any) -> Any:
    """Bring in the pages that lie elsewhere."""
    from mkdocs.structure.files import File

    root = Path(config.config_file_path).parent
    files.remove(files.get_file_from_path("index.md"))
    for source, place in MOVED.items():
        content = (root / source).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Change the links of a page, and list the names that it asks for."""
    place = page.file.src_uri
    sources = {place: source for source, place in MOVED.items()}
    linked = site_markdown(markdown, sources.get(place, f"docs/{place}"))
    return reference(linked, Path(config.config_file_path).parent / "src")
