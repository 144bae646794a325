"""What all models share: type of the numbers, device, gradient checkpointing, export."""

from __future__ import annotations

import copy
import io
import json

import pytest
import torch
import transformers

from napari_clipseg.engine.modeling import layers
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation, CLIPSegModel
from napari_clipseg.engine.modeling.text import CLIPSegTextModel
from napari_clipseg.engine.modeling.vision import CLIPSegVisionModel

IDS = torch.tensor([[49406, 5, 6, 49407], [49406, 9, 49407, 49407]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])
IMAGES = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
VECTORS = torch.randn(2, 24, generator=torch.Generator().manual_seed(1))
MODELS = [CLIPSegForImageSegmentation, CLIPSegModel, CLIPSegTextModel, CLIPSegVisionModel]
DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}


@pytest.fixture(scope="module")
def model(checkpoint):
    return CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"))


@pytest.mark.parametrize("as_text", [False, True], ids=["of torch", "by name"])
@pytest.mark.parametrize(
    ("kind", "name"),
    [*((kind, "float16") for kind in MODELS), *((CLIPSegTextModel, name) for name in DTYPES)],
    ids=lambda x: x if isinstance(x, str) else x.__name__,
)
def test_from_pretrained_takes_a_dtype(kind, name, as_text, checkpoint, tmp_path):
    wanted = DTYPES[name]
    model = kind.from_pretrained(checkpoint("small"), dtype=name if as_text else wanted)
    assert model.dtype == wanted
    assert model.device == torch.device("cpu")
    assert {x.dtype for x in model.parameters()} == {wanted}
    model.save_pretrained(tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["dtype"] == name
    assert kind.from_pretrained(tmp_path).dtype == torch.float32
    theirs = getattr(transformers, kind.__name__).from_pretrained(tmp_path)
    assert theirs.dtype == wanted


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float64"])
def test_a_model_of_another_dtype_takes_what_the_processor_makes(name, model, checkpoint):
    other = CLIPSegForImageSegmentation.from_pretrained(checkpoint("small"), dtype=name)
    for prompt in (
        {"input_ids": IDS},
        {"conditional_pixel_values": IMAGES.flip(0)},
        {"conditional_embeddings": VECTORS},
    ):
        with torch.no_grad():
            got, wanted = (one(pixel_values=IMAGES, **prompt).logits for one in (other, model))
        assert got.dtype == DTYPES[name]
        bound = 0.05 * float(wanted.abs().max())
        torch.testing.assert_close(got.float(), wanted, atol=bound, rtol=0)


@pytest.mark.parametrize("older", ["dtype", "torch_dtype"])
def test_save_pretrained_names_the_type_of_the_weights_alone(older, folder, tmp_path):
    path = folder / "config.json"
    values = json.loads(path.read_text())
    for one in (values, values["text_config"], values["vision_config"]):
        one.pop("dtype", None)
        one[older] = "float16"
    values["note"] = {"dtype": "mine"}
    path.write_text(json.dumps(values))
    CLIPSegForImageSegmentation.from_pretrained(folder).save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert (saved["dtype"], saved["note"]) == ("float32", {"dtype": "mine"})
    assert saved["architectures"] == ["CLIPSegForImageSegmentation"]
    for one in (saved["text_config"], saved["vision_config"]):
        assert not {"dtype", "torch_dtype"} & one.keys()
    assert "torch_dtype" not in saved


@pytest.mark.parametrize(
    "dtype", ["auto", "int8", "torch.float16", torch.int64, torch.complex64, None, 16], ids=str
)
def test_from_pretrained_refuses_another_dtype(dtype):
    says = r"dtype is .*; wanted one of float32, float16, bfloat16, float64, as text or of torch"
    with pytest.raises(ValueError, match=says):
        CLIPSegTextModel.from_pretrained("demo", dtype=dtype)


def test_device_is_where_the_model_was_moved(model):
    assert copy.deepcopy(model).to("meta").device == torch.device("meta")


@pytest.fixture
def calls(monkeypatch):
    """Which blocks ran, in order."""
    found = []
    for kind in (layers.CLIPSegEncoderLayer, layers.CLIPSegDecoderLayer):

        def count(self, *arguments, kind=kind, forward=kind.forward, **named):
            found.append(kind.__name__)
            return forward(self, *arguments, **named)

        monkeypatch.setattr(kind, "forward", count)
    return found


def loss_and_gradients(model, **options):
    model.zero_grad()
    if "conditional_embeddings" not in options:
        options["input_ids"] = IDS
    output = model(pixel_values=IMAGES, labels=torch.ones(2, 64, 64), **options)
    output.loss.backward()
    return output.loss.detach(), {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("frozen", [False, True], ids=["all trained", "CLIP frozen"])
def test_gradient_checkpointing_changes_memory_alone(frozen, model, calls):
    model = copy.deepcopy(model).train()
    model.clip.requires_grad_(not frozen)
    assert not model.is_gradient_checkpointing
    wanted = loss_and_gradients(model)
    once = list(calls)
    calls.clear()
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    got = loss_and_gradients(model)
    # Blocks that get gradients run twice; of the vision tower's the last ones get none.
    decoder = once.count("CLIPSegDecoderLayer")
    assert calls.count("CLIPSegDecoderLayer") == 2 * decoder
    assert len(calls) - len(once) >= decoder
    assert (len(calls) - len(once) == decoder) == frozen
    torch.testing.assert_close(got, wanted, atol=0, rtol=0)
    calls.clear()
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    torch.testing.assert_close(loss_and_gradients(model), wanted, atol=0, rtol=0)
    assert calls == once


def test_gradient_checkpointing_leaves_attentions_and_inference_alone(model, calls):
    model = copy.deepcopy(model)
    model.gradient_checkpointing_enable()
    options = {"conditional_embeddings": VECTORS, "output_attentions": True}
    wanted = loss_and_gradients(model, **options)
    once = list(calls)
    calls.clear()
    got = loss_and_gradients(model.train(), **options)
    assert calls == once
    torch.testing.assert_close(got, wanted)


def test_the_exported_segmentation_is_the_model_at_any_size(model):
    """`torch.export`, with the number of images, their size and the length of texts left open."""
    arguments = {"input_ids": IDS, "attention_mask": MASK, "pixel_values": IMAGES}
    auto = torch.export.Dim.AUTO
    free = {"input_ids": {0: auto, 1: auto}, "attention_mask": {0: auto, 1: auto}}
    free |= {"pixel_values": {0: auto, 2: auto, 3: auto}}
    program = torch.export.export(model, (), kwargs=arguments, dynamic_shapes=free)
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    again = torch.export.load(file).module()
    longer = torch.tensor([[49406, 5, 6, 7, 8, 49407]] * 3)
    for given in (
        arguments,
        {
            "input_ids": longer,
            "attention_mask": torch.ones_like(longer),
            "pixel_values": torch.randn(3, 3, 48, 96),
        },
    ):
        with torch.no_grad():
            got, wanted = again(**given), model(**given)
        assert list(got) == list(wanted)
        torch.testing.assert_close(got.logits, wanted.logits, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(got[1], wanted[1], atol=1e-6, rtol=1e-6)
