from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import napari_clipseg
from napari_clipseg.engine.checkpoints.locate import (
    CHECKPOINTS,
    KNOWN,
    FolderState,
    cached_models,
    is_hub_name,
    locate,
    missing_parts,
    needed_files,
)
from napari_clipseg.engine.errors import CheckpointError, NotDownloadedError

FILES = {"config.json", "vocab.json", "merges.txt", "preprocessor_config.json", "model.safetensors"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_, **__):
        pytest.fail("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The hub's cache, empty."""
    folder = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    return folder


def put(cache, name, commit="0123456789abcdef0123456789abcdef01234567"):
    """Lay a checkpoint out as a download does."""
    place = cache / f"models--{name.replace('/', '--')}"
    snapshot = place / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for file in FILES:
        (snapshot / file).write_text("{}")
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    return snapshot


def test_locate_finds_the_bundled_checkpoint():
    folder = locate("demo")
    assert folder.is_relative_to(Path(napari_clipseg.__file__).parent)
    assert {path.name for path in folder.iterdir()} >= FILES


def test_locate_prefers_the_bundled_checkpoint_to_a_folder_called_demo(tmp_path, monkeypatch):
    (tmp_path / "demo").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate("demo") == CHECKPOINTS / "demo"
    assert locate("./demo").samefile(tmp_path / "demo")


@pytest.mark.parametrize("kind", [str, Path])
def test_locate_gives_a_folder_back(kind, tmp_path):
    assert locate(kind(tmp_path)) == tmp_path


@pytest.mark.parametrize("name", ["here", "two/parts", "./here", "white space"])
def test_locate_takes_a_relative_folder(name, tmp_path, monkeypatch):
    (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert locate(name).samefile(tmp_path / name)


def test_locate_takes_a_tilde(tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert locate("~/mine") == tmp_path / "mine"


NOT_THERE = {
    "an unknown name": "nuclei",
    "a path that starts here": "./no/thing",
    "a path that starts above": "../nothing",
    "an absolute path": os.path.abspath("no thing"),
    "a Path that could be a name": Path("CIDAS/clipseg-rd64"),
    "a path of Windows": "C:\\checkpoints/x",
    "a deep path": "a/b/c",
    "a path at home": "~/nothing-there",
    "the home of nobody": "~nobody-of-this-name/x",
    "nothing": "",
    "a name beyond the file system": "x" * 5000,
    "a name with a null": "a\0b",
    "a name that leaves the cache": "--/..",
    "a name that no model can have": "white space/x",
    "no owner": "/clipseg",
}


@pytest.mark.parametrize("model", NOT_THERE.values(), ids=NOT_THERE)
def test_locate_names_what_is_not_there_and_the_cure(model):
    with pytest.raises(CheckpointError, match=r"There is no checkpoint .* Wanted 'demo'") as e:
        locate(model)
    assert repr(str(model)) in str(e.value)


def test_locate_refuses_a_file(tmp_path):
    path = tmp_path / "model.safetensors"
    path.touch()
    with pytest.raises(CheckpointError, match="an existing folder"):
        locate(path)


@pytest.mark.parametrize("name", [*KNOWN, "nobody/nothing"])
def test_locate_says_command_and_license_for_what_is_not_downloaded(name):
    with pytest.raises(NotDownloadedError, match="not on this machine") as caught:
        locate(name)
    assert f"`napari-clipseg download {name}`" in str(caught.value)
    assert "License" in str(caught.value)
    assert caught.value.name == name


@pytest.mark.parametrize("name", KNOWN)
def test_locate_says_both_sources_of_the_license(name):
    with pytest.raises(NotDownloadedError) as caught:
        locate(name)
    assert "the hub's card says apache-2.0" in str(caught.value)
    assert "MIT license does not apply to the weights" in str(caught.value)
    assert " MB)" in str(caught.value)


@pytest.mark.parametrize("name", KNOWN)
def test_locate_finds_a_downloaded_name(name, cache):
    snapshot = put(cache, name)
    assert locate(name).samefile(snapshot)
    for other in set(KNOWN) - {name}:
        with pytest.raises(CheckpointError, match="not on this machine"):
            locate(other)


@pytest.mark.parametrize("file", sorted(FILES))
@pytest.mark.parametrize("how", ["absent", "a link to nothing"])
def test_locate_rejects_an_incomplete_snapshot(file, how, cache):
    snapshot = put(cache, KNOWN[0])
    (snapshot / file).unlink()
    if how == "a link to nothing":
        try:
            (snapshot / file).symlink_to("../../blobs/gone")
        except OSError:
            pytest.skip("symbolic links cannot be made here")
    with pytest.raises(NotDownloadedError, match="only in part") as caught:
        locate(KNOWN[0])
    assert f"{snapshot} lacks" in str(caught.value)
    assert file in str(caught.value)
    assert f"`napari-clipseg download {KNOWN[0]}`" in str(caught.value)


def test_locate_rejects_a_snapshot_without_files(cache):
    snapshot = put(cache, KNOWN[0])
    for path in snapshot.iterdir():
        path.unlink()
    with pytest.raises(NotDownloadedError, match="only in part"):
        locate(KNOWN[0])


@pytest.mark.parametrize("content", ["", "\n", "main", "../../../etc", "0123"], ids=repr)
def test_locate_rejects_a_broken_reference(content, cache):
    put(cache, KNOWN[0])
    (cache / f"models--{KNOWN[0].replace('/', '--')}" / "refs" / "main").write_text(content)
    with pytest.raises(NotDownloadedError, match="not on this machine"):
        locate(KNOWN[0])


def test_locate_finds_a_revision_by_name_and_by_commit(cache):
    put(cache, KNOWN[0])
    other = "f" * 40
    snapshot = cache / f"models--{KNOWN[0].replace('/', '--')}" / "snapshots" / other
    snapshot.mkdir()
    for file in FILES:
        (snapshot / file).touch()
    pull = snapshot.parents[1] / "refs" / "refs" / "pr" / "1"
    pull.parent.mkdir(parents=True)
    pull.write_text(other)
    assert locate(KNOWN[0], revision="refs/pr/1") == snapshot
    assert locate(KNOWN[0], revision=other) == snapshot
    with pytest.raises(NotDownloadedError, match=r"at the revision v2 .*--revision v2`"):
        locate(KNOWN[0], revision="v2")


def test_locate_takes_another_cache(tmp_path):
    snapshot = put(tmp_path / "mine", KNOWN[0])
    assert locate(KNOWN[0], cache_dir=tmp_path / "mine") == snapshot


@pytest.mark.parametrize("name", [*KNOWN, "owner/a.b-c_d"])
def test_is_hub_name(name):
    assert is_hub_name(name)


@pytest.mark.parametrize(
    ("config", "counts"),
    [
        ('{"model_type": "clipseg"}', True),
        ('{"model_type": "clip"}', False),
        ("{}", False),
        ("[]", False),
        ("{", False),
        (None, False),
    ],
)
def test_cached_models_are_those_whose_config_says_clipseg(config, counts, cache):
    snapshot = put(cache, "somebody/a-model")
    if config is None:
        (snapshot / "config.json").unlink()
    else:
        (snapshot / "config.json").write_text(config)
    (cache / "datasets--somebody--x").mkdir()
    assert cached_models() == (["somebody/a-model"] if counts else [])


def test_cached_models_without_a_cache(cache):
    assert not cache.exists()
    assert cached_models() == []


def test_locate_reads_the_hubs_own_variable(tmp_path):
    snapshot = put(tmp_path / "home" / "hub", KNOWN[0])
    code = f"from napari_clipseg.engine import locate; print(locate({KNOWN[0]!r}))"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment["HF_HOME"] = str(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).samefile(snapshot)


PUBLIC = [
    "config.json",
    "vocab.json",
    "merges.txt",
    "preprocessor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "model.safetensors",
]
OTHERS = ["README.md", ".gitattributes", "tf_model.h5", "flax_model.msgpack", "weights.pth"]
NEW = ["config.json", "tokenizer.json", "processor_config.json", "model.safetensors"]


def without(*names, of=PUBLIC):
    return [name for name in of if name not in names]


def test_needed_files_of_a_public_checkpoint():
    assert set(needed_files([*OTHERS, *PUBLIC])) == set(PUBLIC)


@pytest.mark.parametrize(
    ("offered", "weights"),
    [
        (["model.safetensors"], "model.safetensors"),
        (["pytorch_model.bin"], "pytorch_model.bin"),
        (["pytorch_model.bin", "model.safetensors"], "model.safetensors"),
    ],
    ids=str,
)
def test_needed_files_has_one_file_of_weights_which_comes_last(offered, weights):
    small = without("model.safetensors")
    assert needed_files([*offered, *small])[-1] == weights
    assert set(needed_files([*offered, *small])) == {*small, weights}


def test_needed_files_of_a_newer_library():
    assert missing_parts(NEW) == []
    assert set(needed_files(NEW)) == set(NEW)


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (PUBLIC, []),
        (without("tokenizer_config.json", "special_tokens_map.json"), []),
        (without("config.json"), ["config.json"]),
        (without("merges.txt"), ["vocab.json and merges.txt or tokenizer.json"]),
        (without("model.safetensors"), ["model.safetensors or pytorch_model.bin"]),
        (
            without("preprocessor_config.json"),
            ["preprocessor_config.json or processor_config.json"],
        ),
    ],
    ids=str,
)
def test_missing_parts_are_named(names, says):
    assert missing_parts(names) == says


def test_missing_parts_of_nothing_are_all():
    assert len(missing_parts([])) == 4


def test_folder_state_is_equal_until_a_file_is_replaced(tmp_path):
    for file in FILES:
        (tmp_path / file).write_text("{}")
    before = FolderState.of(tmp_path)
    assert FolderState.of(tmp_path / ".." / tmp_path.name) == before
    assert hash(FolderState.of(tmp_path)) == hash(before)
    (tmp_path / "notes.md").touch()
    assert FolderState.of(tmp_path) == before
    (tmp_path / "new").write_text("{}")
    (tmp_path / "new").replace(tmp_path / "config.json")
    assert FolderState.of(tmp_path) != before
