"""Decoder files of the original repository become checkpoints, on a folder of CLIP."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

import parity
from napari_clipseg.cli import models
from napari_clipseg.cli.main import main
from napari_clipseg.engine.conversion import EXTRACT_LAYERS, convert_decoder
from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.loading import load
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation
from napari_clipseg.engine.preprocessing.processor import CLIPSegProcessor

TEXTS = ["red rings", "a photo of the nuclei"]
WIDTH, PROJECTION, PATCH, DEPTH = 48, 24, 16, 11
TOWERS = {
    "text_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
    "vision_config": {
        "hidden_size": WIDTH,
        "intermediate_size": 96,
        "num_hidden_layers": DEPTH,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": PATCH,
    },
    "projection_dim": PROJECTION,
}


class Original(nn.Module):
    """The decoder as its authors wrote it down: PyTorch's own blocks, tokens before the batch."""

    def __init__(self, width, refined, blocks=3):
        super().__init__()
        self.film_mul = nn.Linear(PROJECTION, width)
        self.film_add = nn.Linear(PROJECTION, width)
        self.reduce = nn.Linear(WIDTH, width)  # nothing calls it, and the files hold it
        self.reduces = nn.ModuleList(nn.Linear(WIDTH, width) for _ in range(blocks))
        self.blocks = nn.ModuleList(nn.TransformerEncoderLayer(width, 4) for _ in range(blocks))
        step = PATCH // 4
        self.trans_conv = (
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(width, width // 2, step, step),
                nn.ReLU(),
                nn.ConvTranspose2d(width // 2, 1, step, step),
            )
            if refined
            else nn.ConvTranspose2d(width, 1, PATCH, PATCH)
        )

    def forward(self, activations, vectors):
        x = 0
        for i, activation in enumerate(reversed(activations)):
            x = self.reduces[i](activation.transpose(0, 1)) + x
            if i == 0:
                x = self.film_mul(vectors) * x + self.film_add(vectors)
            x = self.blocks[i](x)
        side = round((len(x) - 1) ** 0.5)
        return self.trans_conv(x[1:].permute(1, 2, 0).unflatten(2, (side, side)))[:, 0]


def shake(model):
    """Fresh biases are 0 and norms 1: a mix-up would not show."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def write_clip(folder, **changes):
    torch.manual_seed(0)
    model = shake(transformers.CLIPModel(transformers.CLIPConfig(**{**TOWERS, **changes})))
    model.save_pretrained(folder)
    parity.write_vocabulary(folder)
    return model


def write_decoder(path, width=16, refined=False, blocks=3):
    torch.manual_seed(1)
    decoder = shake(Original(width, refined, blocks))
    torch.save(decoder.state_dict(), path)
    return decoder


@pytest.fixture(scope="module")
def whole_clip(tmp_path_factory):
    """A CLIP as ``transformers`` writes it, its folder, and what it sees of two images."""
    folder = tmp_path_factory.mktemp("clip")
    return write_clip(folder), folder


@pytest.fixture
def clip(whole_clip, tmp_path):
    """A copy of the folder, to be broken."""
    return shutil.copytree(whole_clip[1], tmp_path / "clip")


@pytest.fixture
def decoder(tmp_path):
    write_decoder(tmp_path / "rd16-uni.pth")
    return tmp_path / "rd16-uni.pth"


def assert_converted(folder, clip, decoder, blocks=(3, 6, 9)):
    """Compare the folder's answers with CLIP and the original decoder put together."""
    random = torch.Generator().manual_seed(2)
    pixels, examples = torch.randn(2, 2, 3, 96, 96, generator=random)
    ours = CLIPSegForImageSegmentation.from_pretrained(folder)
    inputs = CLIPSegProcessor.from_pretrained(folder)(text=TEXTS)
    see = {"interpolate_pos_encoding": True, "output_hidden_states": True}
    with torch.no_grad():
        states = clip.vision_model(pixels, **see).hidden_states
        activations = [states[i + 1] for i in blocks]
        text = clip.text_projection(clip.text_model(**inputs).pooler_output)
        image = clip.visual_projection(clip.vision_model(examples, **see).pooler_output)
        for prompt, vectors in (
            (inputs, text),
            ({"conditional_pixel_values": examples}, image),
        ):
            wanted = decoder(activations, vectors)
            got = ours(pixel_values=pixels, **prompt).logits
            assert got.shape == (2, 96, 96)
            difference = (got - wanted).abs().max() / wanted.abs().max()
            assert difference < 1e-5


@pytest.mark.parametrize("refined", [False, True], ids=["plain", "refined"])
@pytest.mark.parametrize("width", [16, 64])
def test_convert_decoder_gives_the_logits_of_the_original(width, refined, whole_clip, tmp_path):
    decoder = write_decoder(tmp_path / "a.pth", width, refined)
    model, clip = whole_clip
    folder = convert_decoder(tmp_path / "a.pth", clip, tmp_path / "made" / "here")
    assert folder == tmp_path / "made" / "here"
    assert_converted(folder, model, decoder)


def test_convert_decoder_with_the_end_of_text_of_an_older_clip(tmp_path):
    text = {**TOWERS["text_config"], "eos_token_id": 2, "bos_token_id": 0}
    model = write_clip(tmp_path / "clip", text_config=text)
    decoder = write_decoder(tmp_path / "a.pth")
    folder = convert_decoder(tmp_path / "a.pth", tmp_path / "clip", tmp_path / "new")
    assert_converted(folder, model, decoder)


def test_convert_decoder_reads_older_files_of_clip(clip, whole_clip, decoder, tmp_path):
    """The published ones: pickled, with buffers, and settings of the towers written twice."""
    state = load_file(clip / "model.safetensors")
    state["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    state["vision_model.embeddings.position_ids"] = torch.arange(17)[None]
    torch.save(state, clip / "pytorch_model.bin")
    (clip / "model.safetensors").unlink()
    values = json.loads((clip / "config.json").read_text())
    values["text_config_dict"], values["vision_config_dict"] = None, values["vision_config"]
    values["vision_config"] = {"model_type": "clip_vision_model", "dropout": 0.0}
    values["torch_dtype"] = "float32"
    (clip / "config.json").write_text(json.dumps(values))
    folder = convert_decoder(decoder, clip, tmp_path / "new")
    assert_converted(folder, whole_clip[0], write_decoder(tmp_path / "again.pth"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_convert_decoder_writes_float32(dtype, clip, tmp_path):
    decoder = write_decoder(tmp_path / "a.pth").to(dtype)
    torch.save(decoder.state_dict(), tmp_path / "a.pth")
    path = clip / "model.safetensors"
    save_file({name: x.to(dtype) for name, x in load_file(path).items()}, path)
    folder = convert_decoder(tmp_path / "a.pth", clip, tmp_path / "new")
    half = transformers.CLIPModel.from_pretrained(clip).float().eval()
    assert_converted(folder, half, decoder.float())
    assert {x.dtype for x in load_file(folder / "model.safetensors").values()} == {torch.float32}


def test_convert_decoder_takes_a_file_that_holds_clip_too(whole_clip, decoder, tmp_path):
    state = torch.load(decoder)
    state |= {"clip_model.visual.proj": torch.zeros(3, 3), "model.ln_pre.bias": torch.zeros(3)}
    torch.save(state, decoder)
    folder = convert_decoder(decoder, whole_clip[1], tmp_path / "new")
    assert_converted(folder, whole_clip[0], write_decoder(tmp_path / "again.pth"))


def test_convert_decoder_takes_other_extract_layers(whole_clip, tmp_path):
    decoder = write_decoder(tmp_path / "a.pth", blocks=2)
    folder = convert_decoder(tmp_path / "a.pth", whole_clip[1], tmp_path / "new", (2, 7))
    assert_converted(folder, whole_clip[0], decoder, (2, 7))


NO_LAYERS = {
    "none": (),
    "descending": (9, 6, 3),
    "twice the same": (3, 3, 9),
    "counted from the end": (-3, 6, 9),
    "not whole": (3, 6.5, 9),
    "words": ("3", "6", "9"),
    "one number": 9,
}


@pytest.mark.parametrize("layers", NO_LAYERS.values(), ids=NO_LAYERS)
def test_convert_decoder_refuses_what_are_no_blocks(layers, decoder, whole_clip, tmp_path):
    with pytest.raises(ValueError, match=r"extract_layers is .*; wanted ascending whole") as caught:
        convert_decoder(decoder, whole_clip[1], tmp_path / "new", layers)
    assert f"extract_layers is {layers!r}; " in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_convert_decoder_refuses_blocks_that_clip_lacks(decoder, whole_clip, tmp_path):
    says = r"extract_layers is \[3, 7, 11\]; the CLIP of .* has blocks from 0 to 10"
    with pytest.raises(CheckpointError, match=says):
        convert_decoder(decoder, whole_clip[1], tmp_path / "new", (3, 7, 11))
    assert not (tmp_path / "new").exists()


def test_convert_decoder_writes_the_public_format(whole_clip, decoder, tmp_path):
    into = tmp_path / "new"
    into.mkdir()
    convert_decoder(decoder, str(whole_clip[1]), str(into))
    assert sorted(path.name for path in into.iterdir()) == [
        "config.json",
        "merges.txt",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer_config.json",
        "vocab.json",
    ]
    theirs, report = transformers.CLIPSegForImageSegmentation.from_pretrained(
        into, output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert theirs.config.vision_config.image_size == 64  # CLIP's own: positions are interpolated
    processor = transformers.AutoProcessor.from_pretrained(into)
    image = np.zeros((40, 50, 3), np.uint8)
    inputs = processor(text=TEXTS, images=[image] * 2, padding=True, return_tensors="pt")
    assert inputs.pixel_values.shape == (2, 3, 352, 352)
    with torch.no_grad():
        wanted = theirs(**inputs, interpolate_pos_encoding=True).logits
    engine = load(into, device="cpu")
    got = engine.decode(engine.encode([image]), engine.embed(TEXTS))[0]
    np.testing.assert_allclose(got, wanted, atol=1e-4 * float(wanted.abs().max()))


class Dangerous:
    def __reduce__(self):
        return (pytest.fail, ("code of a decoder file was run",))


def change(**tensors):
    """Rewrite the decoder file with other tensors; None takes one out."""

    def rewrite(path):
        state = torch.load(path)
        for name, tensor in tensors.items():
            name = name.replace("__", ".")
            state.pop(name, None)
            if tensor is not None:
                state[name] = tensor
        torch.save(state, path)

    return rewrite


CHOOSE = "Choose rd64-uni.pth, rd64-uni-refined.pth or rd16-uni.pth"
NO_DECODER = {
    "not there": (lambda p: p.unlink(), "There is no file"),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "There is no file"),
    "empty": (lambda p: p.write_bytes(b""), "get it again"),
    "cut off": (lambda p: p.write_bytes(p.read_bytes()[:9000]), "get it again"),
    "a web page": (lambda p: p.write_bytes(b"<!DOCTYPE html>"), "It is a web page"),
    "a git-lfs pointer": (
        lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "run `git lfs pull`",
    ),
    "code": (lambda p: torch.save({"a": Dangerous()}, p), "holds more than tensors"),
    "code, pickled": (lambda p: p.write_bytes(pickle.dumps(Dangerous())), "more than tensors"),
    "a list": (lambda p: torch.save([1], p), f"holds no weights by name. {CHOOSE}"),
    "numbers for names": (lambda p: torch.save({1: torch.ones(2)}, p), "no weights by name"),
    "no tensors": (lambda p: torch.save({}, p), f"film_mul.weight is missing or of .* {CHOOSE}"),
    "another model": (
        lambda p: torch.save({"decoder.film_mul.weight": torch.ones(2, 2)}, p),
        f"is no CLIPSeg decoder: film_mul.weight is missing .* {CHOOSE}",
    ),
    "no transposed convolution": (
        change(trans_conv__weight=None),
        "no CLIPSeg decoder: trans_conv.weight is missing",
    ),
    "a flat convolution": (change(trans_conv__weight=torch.ones(16, 1)), "trans_conv.weight is"),
    "a bias left out": (
        change(film_add__bias=None),
        r"1 tensors missing \(decoder.film_add.bias\)",
    ),
    "an attention of another width": (
        change(blocks__1__self_attn__in_proj_weight=torch.ones(2, 16)),
        "3 tensors of another shape",
    ),
    "an attention that is one number": (
        change(blocks__1__self_attn__in_proj_bias=torch.ones(())),
        "1 tensors not of this model",
    ),
    "parts that the public format lacks": (
        change(reduce_cond__weight=torch.ones(2, 2), extra_blocks__0__norm1__bias=torch.ones(2)),
        r"2 tensors not of this model \(decoder.extra_blocks.0.layer_norm1.bias, "
        r"decoder.reduce_cond.weight\)",
    ),
    "another number of blocks": (
        lambda p: write_decoder(p, blocks=2),
        rf"has 2 blocks.*names 3: \[3, 6, 9\]. {CHOOSE}, or name 2 blocks of CLIP\.",
    ),
    "a CLIP of another projection": (
        change(film_mul__weight=torch.ones(16, 512)),
        "projection 512 and patches of 16 pixels; that of .* has 48, 24 and 16. Choose a folder of "
        "openai/clip-vit-base-patch16",
    ),
    "a CLIP of another width": (
        change(reduces__0__weight=torch.ones(16, 768)),
        "trained with a CLIP of vision width 768",
    ),
    "a CLIP of larger patches": (
        change(trans_conv__weight=torch.ones(16, 1, 32, 32)),
        "and patches of 32 pixels",
    ),
    "NaN": (
        change(film_mul__bias=torch.full((16,), float("nan"))),
        r"is damaged: 1 tensors hold values that are not finite .* such as film_mul\.bias\. Get it",
    ),
    "infinite": (
        change(reduces__1__weight=torch.full((16, WIDTH), float("inf"))),
        r"is damaged: 1 tensors .* such as reduces\.1\.weight",
    ),
    "a width that four heads do not divide": (
        lambda p: torch.save(
            {k: x[:14] if k == "film_mul.weight" else x for k, x in torch.load(p).items()}, p
        ),
        "reduce_dim is 14, which decoder_num_attention_heads 4 does not divide",
    ),
}


@pytest.mark.parametrize(("break_it", "says"), NO_DECODER.values(), ids=NO_DECODER)
def test_convert_decoder_refuses_other_files(break_it, says, decoder, whole_clip, tmp_path):
    break_it(decoder)
    with pytest.raises(CheckpointError, match=says) as caught:
        convert_decoder(decoder, whole_clip[1], tmp_path / "new")
    assert str(decoder) in str(caught.value)
    assert not (tmp_path / "new").exists()


def settings(**values):
    def rewrite(folder):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return rewrite


NO_CLIP = {
    "no config": (lambda f: (f / "config.json").unlink(), "has no config.json"),
    "a CLIPSeg": (settings(model_type="clipseg"), "type 'clipseg', wanted 'clip'. Choose a fol"),
    "another model": (settings(model_type=None), "type None, wanted 'clip'"),
    "ViT-L/14": (
        settings(
            projection_dim=768,
            vision_config={
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "patch_size": 14,
            },
        ),
        "has 1024, 768 and 14. Choose a folder of openai/clip-vit-base-patch16",
    ),
    "ViT-B/32": (
        settings(vision_config={**TOWERS["vision_config"], "patch_size": 32}),
        "has 48, 24 and 32",
    ),
    "too few blocks": (
        settings(vision_config={**TOWERS["vision_config"], "num_hidden_layers": 9}),
        r"extract_layers is \[3, 6, 9\]; the CLIP of .* has blocks from 0 to 8\. Name other blocks",
    ),
    "a tower that is no mapping": (settings(vision_config=3), "does not fit the CLIP of"),
    "a longer text tower than its weights": (
        settings(text_config={**TOWERS["text_config"], "num_hidden_layers": 3}),
        r"do not make one CLIPSeg: 16 tensors missing \(clip.text_model",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "has no model.safetensors"),
    "no vocabulary": (lambda f: (f / "vocab.json").unlink(), "has no vocab.json"),
    "another vocabulary": (
        settings(text_config={**TOWERS["text_config"], "vocab_size": 100}),
        "vocab.json holds ids up to 49407, the model knows 100",
    ),
}


@pytest.mark.parametrize(("break_it", "says"), NO_CLIP.values(), ids=NO_CLIP)
def test_convert_decoder_refuses_other_clips(break_it, says, decoder, clip, tmp_path):
    break_it(clip)
    with pytest.raises(CheckpointError, match=says) as caught:
        convert_decoder(decoder, clip, tmp_path / "new")
    assert str(clip) in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("there", ["a file", "a folder"])
def test_convert_decoder_overwrites_nothing(there, decoder, whole_clip, tmp_path):
    into = tmp_path / "mine"
    mine = into if there == "a file" else into / "notes.txt"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(CheckpointError, match=r"exists already\. Name a folder that is new"):
        convert_decoder(decoder, whole_clip[1], into)
    assert mine.read_text() == "mine"


def test_convert_decoder_names_a_place_that_cannot_be_written(decoder, whole_clip, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot be written: .* with \d+ MB free"):
        convert_decoder(decoder, whole_clip[1], tmp_path / "file" / "new")


def test_convert_decoder_leaves_no_incomplete_folder(decoder, whole_clip, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(CLIPSegProcessor, "save_pretrained", fails)
    (tmp_path / "place").mkdir()
    with pytest.raises(CheckpointError, match="No space left on device"):
        convert_decoder(decoder, whole_clip[1], tmp_path / "place" / "new")
    assert not list((tmp_path / "place").iterdir())


def test_convert_prints_the_folder(decoder, clip, tmp_path, capsys):
    into = tmp_path / "made"
    assert main(["convert", str(decoder), str(into), "--clip", str(clip)]) == 0
    assert capsys.readouterr().out.strip() == str(into)
    assert load(into).size == (352, 352)


def test_convert_reads_the_blocks_that_are_asked_for(whole_clip, tmp_path, capsys):
    model, clip = whole_clip
    decoder = write_decoder(tmp_path / "a.pth")
    command = ["convert", str(tmp_path / "a.pth"), str(tmp_path / "made"), "--clip", str(clip)]
    assert main([*command, "--extract-layers", "9", "7", "3"]) == 1
    assert "extract_layers is [9, 7, 3]; wanted ascending" in capsys.readouterr().err
    assert main([*command, "--extract-layers", "3", "7", "9"]) == 0
    assert_converted(tmp_path / "made", model, decoder, (3, 7, 9))


def test_the_command_reads_the_same_blocks_by_default_as_python():
    assert models.EXTRACT_LAYERS == EXTRACT_LAYERS


def test_convert_says_what_is_wrong(decoder, tmp_path, capsys):
    assert main(["convert", str(decoder), str(tmp_path / "made"), "--clip", "./nothing"]) == 1
    assert "./nothing" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()
