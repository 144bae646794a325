"""What a user gets from the built wheel: its files, its metadata, its manifest, quick imports."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

import npe2
import pytest
from npe2.manifest.utils import import_python_name
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import napari_clipseg
from napari_clipseg.files.formats import FORMATS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "napari_clipseg"

# What takes seconds to import, and what the first paint of napari must not wait for.
HEAVY = {"torch", "transformers", "tokenizers", "safetensors", "skimage", "ftfy"}
WINDOW = {"napari", "magicgui", "qtpy", "PyQt6"}


@pytest.fixture(scope="module")
def manifest() -> npe2.PluginManifest:
    return npe2.PluginManifest.from_distribution("napari-clipseg")


def imports_of(*command: str) -> set[str]:
    """Top-level packages that a fresh Python imports while it runs a command."""
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
    )
    lines = done.stderr.splitlines()
    rows = [line for line in lines if line.startswith("import time:")]
    assert done.returncode == 0, "\n".join(line for line in lines if line not in rows)
    assert rows, "the import times were not written"
    return {row.rsplit("|", 1)[1].strip().partition(".")[0] for row in rows}


# -- the wheel


@pytest.mark.skipif("TOX_ENV_NAME" not in os.environ, reason="an editable install is the checkout")
def test_the_installed_wheel_is_under_test() -> None:
    assert not Path(napari_clipseg.__file__).is_relative_to(ROOT / "src")


def test_every_file_of_the_package_is_installed() -> None:
    wanted = {p.relative_to(SOURCE).as_posix() for p in SOURCE.rglob("*") if p.is_file()}
    wanted = {name for name in wanted if "__pycache__" not in name}
    assert wanted, "the checkout has no sources"
    assert {
        n for n in wanted if not files("napari_clipseg").joinpath(*n.split("/")).is_file()
    } == set()


@pytest.mark.parametrize(
    "name",
    [
        "napari.yaml",
        "py.typed",
        *(
            f"samples/{s}"
            for n in ("shapes", "micrograph")
            for s in (f"{n}.png", f"{n}_truth.png", f"{n}.json")
        ),
        *(
            f"checkpoints/demo/{n}"
            for n in (
                "README.md",
                "config.json",
                "merges.txt",
                "model.safetensors",
                "preprocessor_config.json",
                "vocab.json",
            )
        ),
    ],
)
def test_a_file_that_is_not_code_is_installed(name: str) -> None:
    assert files("napari_clipseg").joinpath(*name.split("/")).is_file()


# -- metadata


def test_metadata_says_what_it_is_and_under_which_licence() -> None:
    about = metadata.metadata("napari-clipseg")
    assert about["License-Expression"] == "BSD-3-Clause"
    assert about.get_all("License-File") == ["LICENSE"]
    assert "Framework :: napari" in about.get_all("Classifier", [])
    assert about["Requires-Python"] == ">=3.11"


def test_the_version_is_that_of_the_installed_package() -> None:
    assert napari_clipseg.__version__ == metadata.version("napari-clipseg")
    assert Version(napari_clipseg.__version__)  # raises if it is none
    assert project()["project"]["dynamic"] == ["version"]  # from git's tags, not written by hand


def test_metadata_say_where_the_project_is() -> None:
    urls = metadata.metadata("napari-clipseg").get_all("Project-URL", [])
    labels = {url.partition(", ")[0] for url in urls}
    assert labels == {"Homepage", "Documentation", "Source", "Issues", "Changelog"}


def test_no_qt_binding_is_required() -> None:
    required = [r for r in metadata.requires("napari-clipseg") or [] if "extra ==" not in r]
    assert any(r.startswith("torch") for r in required)
    bindings = ("pyqt", "pyside", "napari[")
    assert [r for r in required if r.lower().startswith(bindings)] == []


# -- the lowest versions


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def lower_bounds() -> dict[str, Version]:
    """Return the lowest version of each direct dependency of the package and of its tests."""
    table = project()
    about, groups = table["project"], table["dependency-groups"]
    wanted = [
        *about["dependencies"],
        *about["optional-dependencies"]["parquet"],
        *about["optional-dependencies"]["zarr"],
        *groups["reference"],
        *(line for line in groups["test"] if isinstance(line, str)),
    ]
    bounds = {}
    for requirement in map(Requirement, wanted):
        (bound,) = (one.version for one in requirement.specifier if one.operator == ">=")
        bounds[canonicalize_name(requirement.name)] = Version(bound)
    return bounds


def pins(name: str) -> dict[str, Version]:
    """Return the versions that a file of constraints pins."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    given = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {
        canonicalize_name(one.name): Version(spec.version)
        for one in given
        for spec in one.specifier
        if spec.operator == "=="
    }


def test_the_lowest_versions_are_tested() -> None:
    bounds, lowest = lower_bounds(), pins("constraints-lowest.txt")
    assert bounds.pop("torch") <= lowest["torch"]
    assert lowest.pop("torch") == pins("constraints.txt")["torch"]
    assert lowest == bounds


# -- the manifest


def test_the_manifest_at_the_top_is_the_one_in_the_package() -> None:
    top = (ROOT / "napari.yaml").read_text(encoding="utf-8")
    # Where git makes no symbolic links (Windows by default), the file holds the link's target.
    if top.strip() == "src/napari_clipseg/napari.yaml":
        top = (ROOT / top.strip()).read_text(encoding="utf-8")
    assert top == files("napari_clipseg").joinpath("napari.yaml").read_text(encoding="utf-8")


def test_the_manifest_is_valid_and_offers_itself_where_napari_looks(
    manifest: npe2.PluginManifest,
) -> None:
    npe2.PluginManifest.from_file(SOURCE / "napari.yaml")  # raises if it is not valid
    offered = manifest.contributions
    assert manifest.is_visible
    assert [c.command for c in offered.menus["napari/layers/segment"]] == ["napari-clipseg.dock"]
    assert [s.key for s in offered.sample_data or []] == [
        "shapes",
        "micrograph",
        "coins",
        "deep_field",
    ]
    assert [w.command for w in offered.widgets or []] == ["napari-clipseg.dock"]
    assert {c.id for c in offered.commands or []} == {f"napari-clipseg.{one}" for one in COMMANDS}


def test_the_manifest_claims_only_names_that_are_ours(manifest: npe2.PluginManifest) -> None:
    (reader,) = manifest.contributions.readers or []
    suffixes = {one.suffix for one in FORMATS.values()}
    assert {pattern.removeprefix("*") for pattern in reader.filename_patterns} <= suffixes
    assert not reader.accepts_directories  # napari would ask which reader, for any folder
    writers = manifest.contributions.writers or []
    written = [ending for one in writers for ending in one.filename_extensions]
    assert set(written) <= suffixes
    assert len(set(written)) == len(written) == 6


COMMANDS = (
    "dock",
    "sample_shapes",
    "sample_micrograph",
    "sample_coins",
    "sample_deep_field",
    "get_reader",
    "write_layer",
    "write_map_layer",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_leads_to_something_to_call(command: str, manifest: npe2.PluginManifest) -> None:
    names = {c.id: c.python_name for c in manifest.contributions.commands or []}
    assert callable(import_python_name(names[f"napari-clipseg.{command}"]))


# -- quick imports


def test_importing_the_package_loads_neither_torch_nor_napari() -> None:
    assert imports_of(sys.executable, "-c", "import napari_clipseg") & (HEAVY | WINDOW) == set()


def test_asking_for_help_loads_neither_torch_nor_napari() -> None:
    loaded = imports_of(sys.executable, "-m", "napari_clipseg", "--help")
    assert "napari_clipseg" in loaded
    assert loaded & (HEAVY | WINDOW) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "import npe2; npe2.PluginManager.instance().discover()",
        "import napari_clipseg.widgets.dock",
        "from napari_clipseg.sample_data import shapes; shapes()",
    ],
    ids=["listing the plugins", "making the dock", "opening a sample"],
)
def test_what_napari_does_before_the_first_run_loads_no_torch(statement: str) -> None:
    assert "torch" not in imports_of(sys.executable, "-c", statement)


def test_the_console_script_is_the_module() -> None:
    (script,) = metadata.entry_points(group="console_scripts", name="napari-clipseg")
    assert script.value == "napari_clipseg.cli.main:main"
