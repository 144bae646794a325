from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from napari_clipseg import segment
from napari_clipseg.cli.main import main
from painted import scene


@pytest.fixture
def files(tmp_path):
    paths = []
    for seed in range(3):
        image, masks = scene(seed)
        pair = tmp_path / f"{seed}.png", tmp_path / f"{seed}-mask.png"
        Image.fromarray(image).save(pair[0])
        Image.fromarray(masks[0].astype(np.uint8)).save(pair[1])
        paths.append(tuple(map(str, pair)))
    return zip(*paths, strict=True)


def test_a_checkpoint_from_masks(files, tmp_path, capsys):
    images, masks = files
    folder = tmp_path / "mine"
    command = ["fine-tune", *images, "--masks", *masks, "--prompt", "red disks"]
    assert main([*command, "--output", str(folder), "--epochs", "2"]) == 0
    said = capsys.readouterr()
    assert "held out: 2.png\nIoU there: 0." in said.out or "held out: 1.png" in said.out
    assert said.out.splitlines()[-1] == str(folder)
    assert "Fitting the decoder: 2 of 2" in said.err
    assert segment(scene(9)[0], "red disks", model=folder).labels.shape == (96, 96)


def test_one_image_holds_none_out(files, tmp_path, capsys):
    images, masks = files
    command = ["fine-tune", images[0], "--masks", masks[0], "--prompt", "red"]
    assert main([*command, "--output", str(tmp_path / "mine"), "--epochs", "1"]) == 0
    assert "No image was held out" in capsys.readouterr().out


def test_what_does_not_fit_is_told(files, tmp_path, capsys):
    images, masks = files
    command = ["fine-tune", *images, "--masks", masks[0], "--prompt", "red"]
    assert main([*command, "--output", str(tmp_path / "mine")]) == 1
    assert "Got 3 images and 1 files of masks" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
