"""``pytorch_model.bin``: read where there is no other file, and never run."""

import pickle

import pytest
import torch
from safetensors.torch import load_file

from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.modeling.model import CLIPSegForImageSegmentation


@pytest.fixture
def state(folder):
    """The folder's weights; the folder is left without them."""
    state = load_file(folder / "model.safetensors")
    state = {name: tensor.clone() for name, tensor in state.items()}
    (folder / "model.safetensors").unlink()
    return state


def test_from_pretrained_reads_pickled_weights(folder, state):
    state["clip.text_model.embeddings.position_ids"] = torch.arange(77)[None]  # of old files
    torch.save(state, folder / "pytorch_model.bin")
    loaded = CLIPSegForImageSegmentation.from_pretrained(folder).state_dict()
    assert loaded.keys() == state.keys() - {"clip.text_model.embeddings.position_ids"}
    for name, tensor in loaded.items():
        assert torch.equal(tensor, state[name])


def test_from_pretrained_prefers_safetensors(folder):
    (folder / "pytorch_model.bin").write_bytes(b"broken")
    CLIPSegForImageSegmentation.from_pretrained(folder)


UNUSUAL = {
    "sparse": lambda x: x.to_sparse(),
    "sparse, by rows": lambda x: x.to_sparse_csr(),
    "quantized": lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
    "nested": lambda x: torch.nested.nested_tensor([x[:2], x[2:]]),
    "meta": lambda x: x.to("meta"),
}


@pytest.mark.parametrize("change", UNUSUAL.values(), ids=UNUSUAL)
@pytest.mark.filterwarnings("ignore")  # PyTorch's own, where it makes these tensors
def test_from_pretrained_refuses_unusual_tensors(change, folder, state):
    name = "decoder.film_mul.weight"
    torch.save({**state, name: change(state[name])}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="wanted plain ones, stored in full"):
        CLIPSegForImageSegmentation.from_pretrained(folder)


class Dangerous:
    def __reduce__(self):
        return (pytest.fail, ("code of a checkpoint was run",))


@pytest.mark.parametrize("way", [torch.save, lambda x, path: path.write_bytes(pickle.dumps(x))])
def test_from_pretrained_never_runs_pickled_code(folder, state, way):
    way({**state, "more": Dangerous()}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin.*get|Get"):
        CLIPSegForImageSegmentation.from_pretrained(folder)


@pytest.mark.parametrize("part", [0, 0.3, 0.999])
def test_from_pretrained_names_a_truncated_file(folder, state, part):
    path = folder / "pytorch_model.bin"
    torch.save(state, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin.*(get|Get)"):
        CLIPSegForImageSegmentation.from_pretrained(folder)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, torch.zeros(2)], ids=repr)
def test_from_pretrained_refuses_other_pickles(folder, state, content):
    torch.save(content, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"holds no weights by name"):
        CLIPSegForImageSegmentation.from_pretrained(folder)


# What the unpickler itself does not expect.
DAMAGED = {
    "the end of nothing": b"\x80\x02.",
    "a mark that is missing": b"\x80\x02u.",
    "a memo that is missing": b"\x80\x02h\x05.",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_from_pretrained_names_a_damaged_pickle(content, folder, state):
    (folder / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin.*(get|Get)"):
        CLIPSegForImageSegmentation.from_pretrained(folder)
