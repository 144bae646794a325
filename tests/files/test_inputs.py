"""Which files are meant, what they are called, and how quickly that is known."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_clipseg.files.formats import FORMATS
from napari_clipseg.files.inputs import find_inputs, natural
from napari_clipseg.files.jobs import plan_jobs, stem_of

OUTPUTS = [one.suffix for one in FORMATS.values()]


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    """A folder as it is after a week of work."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "a10.tif",
        "a2.TIF",
        "b.png",
        ".hidden.tif",
        "._a2.tif",
        "notes.txt",
        "README",
        "a2.labels.ome.tif",
        "sub/c.jpg",
        "sub/deep/d.npy",
        "x.zarr/zarr.json",
        "x.zarr/0/c/0/0",
        "sub/plain/.zgroup",
    ):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path("list.csv").write_text(
        "name,path\none,data/b.png\ntwo,data/sub/c.jpg\nagain,data/b.png\n", encoding="utf-8-sig"
    )
    Path("plain.csv").write_text("data/b.png\n\ndata/gone.tif\n")


@pytest.mark.parametrize(
    ("given", "recursive", "wanted"),
    [
        pytest.param(["data"], False, ["a2.TIF", "a10.tif", "b.png", "x.zarr"], id="folder"),
        pytest.param(
            ["data"],
            True,
            ["a2.TIF", "a10.tif", "b.png", "sub/c.jpg", "sub/deep/d.npy", "x.zarr"],
            id="folders within",
        ),
        pytest.param(["data/b.png", "data/b.png"], False, ["b.png"], id="one file twice"),
        pytest.param(["data/sub/../b.png", "data"], False, ["b.png", 3], id="the same file again"),
        pytest.param(["data/x.zarr"], False, ["x.zarr"], id="a Zarr folder"),
        pytest.param(["data/sub/plain"], False, ["plain"], id="a Zarr folder of another name"),
        pytest.param(["data/notes.txt"], False, ["notes.txt"], id="any file that is named"),
        pytest.param(["data/*.tif"], False, ["a10.tif"], id="a pattern"),
        pytest.param(["data/**/*.[jn]p*"], False, ["sub/c.jpg", "sub/deep/d.npy"], id="mirrored"),
        pytest.param(["data/s*"], True, ["sub/c.jpg", "sub/deep/d.npy"], id="folders that match"),
        pytest.param(["list.csv"], False, ["data/b.png", "data/sub/c.jpg"], id="a list"),
        pytest.param(["plain.csv"], False, ["data/b.png", "data/gone.tif"], id="a plain list"),
    ],
)
def test_what_is_found(given, recursive, wanted):
    found = find_inputs(given, recursive=recursive, outputs=OUTPUTS).images
    names = [one.relative.as_posix() for one in found]
    if isinstance(wanted[-1], int):
        wanted, names = [*wanted[:-1], wanted[-1]], [names[0], len(names) - 1]
    assert names == wanted or sorted(names) == sorted(wanted)


def test_other_files_are_counted_and_our_own_are_no_images():
    left_out = find_inputs(["data"], outputs=OUTPUTS).left_out
    assert left_out == {".txt": 1, "no suffix": 1, "our own outputs": 1}


def test_numbers_in_names_count():
    assert sorted(["a10", "a9", "A1", "b", "a09b"], key=natural) == ["A1", "a9", "a09b", "a10", "b"]


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        pytest.param("none.tif", FileNotFoundError, "no file or folder none.tif", id="file"),
        pytest.param("data/*.czi", FileNotFoundError, "No image matches data/.*czi", id="pattern"),
        pytest.param("empty.csv", ValueError, "lists no file. Write one path", id="list"),
        pytest.param("hole.csv", ValueError, "a line without a path", id="line"),
    ],
)
def test_what_cannot_be_meant(given, kind, message):
    Path("empty.csv").write_text("\n")
    Path("hole.csv").write_text("name,path\none,\n")
    with pytest.raises(kind, match=message):
        find_inputs([given])


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.tif", "a"),
        ("a.b.ome.tif", "a.b"),
        ("a.OME.TIFF", "a"),
        ("a.ome.zarr", "a"),
        ("a.zarr", "a"),
        ("a.1.png", "a.1"),
        ("a", "a"),
    ],
)
def test_names_are_kept(name, stem):
    assert stem_of(name) == stem


def test_folders_are_mirrored_and_each_format_has_its_name(tmp_path):
    inputs = find_inputs(["data"], recursive=True).images
    jobs = plan_jobs(
        [one for one in inputs if "labels" not in one.path.name], Path("out"), ["csv", "overlay"]
    )
    (job,) = (job for job in jobs if job.image.name == "d.npy")
    assert job.outputs("csv") == (
        tmp_path / "out/sub/deep/d.csv",
        tmp_path / "out/sub/deep/d.csv.json",
    )
    assert job.outputs("overlay") == (tmp_path / "out/sub/deep/d.overlay.png",)
    assert len({job.id for job in jobs}) == len(jobs)


@pytest.mark.parametrize(
    ("names", "formats", "message"),
    [
        pytest.param(["a.tif", "a.png"], ["csv"], "would give outputs of one name", id="names"),
        pytest.param(
            ["a.tif"], ["cvs"], "no format 'cvs'; wanted some of labels-tiff", id="format"
        ),
        pytest.param(["a.tif"], [], "wanted some of labels-tiff", id="no format"),
        pytest.param(
            ["a.tif"], ["labels-zarr", "labels-zarr-0.4"], "Leave out one", id="formats of one name"
        ),
    ],
)
def test_what_would_collide_is_refused(names, formats, message):
    from napari_clipseg.files.inputs import Input

    with pytest.raises(ValueError, match=message):
        plan_jobs([Input(Path(name), Path(name)) for name in names], Path("out"), formats)
