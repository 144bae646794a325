from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, replace

import pytest
import transformers

from napari_clipseg.engine.errors import CheckpointError
from napari_clipseg.engine.modeling.config import CLIPSegConfig
from napari_clipseg.engine.modeling.tower_configs import CLIPSegTextConfig, CLIPSegVisionConfig

TOWERS = {"text_config": CLIPSegTextConfig, "vision_config": CLIPSegVisionConfig}
OTHERS = CLIPSegConfig(
    text_config=CLIPSegTextConfig(hidden_size=32, num_attention_heads=4, eos_token_id=2),
    vision_config=CLIPSegVisionConfig(num_hidden_layers=7, patch_size=16, hidden_act="gelu"),
    projection_dim=24,
    extract_layers=(0, 6),
    reduce_dim=16,
    conditional_layer=1,
    use_complex_transposed_convolution=True,
    default_threshold=0.5,
)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (CLIPSegTextConfig, transformers.CLIPSegTextConfig),
        (CLIPSegVisionConfig, transformers.CLIPSegVisionConfig),
        (CLIPSegConfig, transformers.CLIPSegConfig),
    ],
)
def test_config_has_the_names_and_defaults_of_the_reference(ours, theirs):
    wanted = theirs()
    own = (*TOWERS, "default_threshold", "others")
    names = [f.name for f in fields(ours) if f.name not in own]
    values = {name: getattr(ours(), name) for name in names}
    assert values == {name: getattr(wanted, name) for name in names}


@pytest.mark.parametrize("config", [CLIPSegConfig(), OTHERS], ids=["defaults", "others"])
def test_from_pretrained_reads_what_to_dict_gives(config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    assert CLIPSegConfig.from_pretrained(tmp_path) == config


def test_to_dict_is_read_by_the_reference():
    theirs = transformers.CLIPSegConfig(**OTHERS.to_dict())
    assert CLIPSegConfig.from_dict(theirs.to_dict()) == OTHERS


SETTINGS = {"architectures": ["x"], "torch_dtype": "float32", "others": 3, "top_k": {"a": None}}


def test_settings_of_other_libraries_have_no_effect_and_are_kept():
    values = {**SETTINGS, "reduce_dim": 16, "text_config": {"top_k": 50, "hidden_size": 64}}
    config = CLIPSegConfig.from_dict(values)
    text = CLIPSegTextConfig(hidden_size=64)
    assert config == CLIPSegConfig(text_config=text, reduce_dim=16)
    assert hash(config) == hash(CLIPSegConfig(text_config=text, reduce_dim=16))
    for one in (
        config,
        replace(config, projection_dim=8),
        CLIPSegConfig.from_dict(config.to_dict()),
    ):
        got = one.to_dict()
        assert {key: got[key] for key in SETTINGS} == SETTINGS
        assert got["text_config"]["top_k"] == 50
        assert "top_k" not in got["vision_config"]


def test_to_dict_prefers_a_parameter_to_a_setting_of_its_name():
    config = CLIPSegTextConfig(hidden_size=64, others={"hidden_size": 32})
    assert config.to_dict()["hidden_size"] == 64


def test_from_dict_writes_a_tower_of_the_older_form_once():
    older = {"text_config_dict": {"hidden_size": 64}, "vision_config_dict": None}
    got = CLIPSegConfig.from_dict({"text_config": {}, **older}).to_dict()
    assert got["text_config"]["hidden_size"] == 64
    assert not older.keys() & got.keys()


CONFIGS = [CLIPSegTextConfig(1000, 64), CLIPSegVisionConfig(96, patch_size=16), OTHERS]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: type(c).__name__)
def test_configs_are_saved_and_read_again_by_both(config, tmp_path):
    kind = type(config)
    config = kind.from_dict({**config.to_dict(), "note": "mine"})
    assert kind.from_dict(json.loads(config.to_json_string())) == config
    file = tmp_path / "some.json"
    config.to_json_file(file)
    assert kind.from_json_file(str(file)) == config
    assert file.read_text() == config.to_json_string()
    folder = tmp_path / "new" / "folder"
    config.save_pretrained(folder)
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert kind.from_pretrained(folder) == config
    theirs = getattr(transformers, kind.__name__).from_pretrained(folder)
    assert theirs.note == "mine"
    assert kind.from_dict(theirs.to_dict()) == config


@pytest.mark.parametrize("tower", TOWERS)
def test_config_takes_a_tower_as_a_mapping_or_none(tower):
    small = TOWERS[tower](hidden_size=48, num_attention_heads=4)
    config = CLIPSegConfig(**{tower: {"hidden_size": 48, "num_attention_heads": 4, "top_k": 5}})
    assert getattr(config, tower) == small
    assert getattr(config, tower).others == {"top_k": 5}
    assert config == CLIPSegConfig(**{tower: small})
    assert getattr(CLIPSegConfig(**{tower: None}), tower) == TOWERS[tower]()


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize("value", [3, "x", [1], CLIPSegConfig()], ids=lambda v: type(v).__name__)
def test_config_refuses_what_is_no_tower(tower, value):
    says = rf"CLIPSegConfig\.{tower} is .*; wanted a {TOWERS[tower].__name__}, a mapping of its par"
    with pytest.raises(ValueError, match=says):
        CLIPSegConfig(**{tower: value})
    if not isinstance(value, CLIPSegConfig):
        with pytest.raises(ValueError, match=says):
            CLIPSegConfig.from_dict({tower: value})


def test_config_refuses_a_parameter_that_it_does_not_have():
    with pytest.raises(TypeError, match="'reduce_dims'"):
        CLIPSegConfig(reduce_dims=16)


@pytest.mark.parametrize(
    ("config", "name", "value", "shown"),
    [
        (CLIPSegConfig(), "reduce_dim", 16, "16"),
        (CLIPSegConfig(), "text_config", None, "None"),
        (CLIPSegTextConfig(), "hidden_size", 64, "64"),
        (CLIPSegVisionConfig(), "output_attentions", True, "True"),
        (CLIPSegVisionConfig(), "anything", "new", "'new'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_config_refuses_a_change_with_the_cure(config, name, value, shown):
    says = rf"{type(config).__name__}\.{name} cannot be .*replace\(config, {name}={shown}\)"
    with pytest.raises(FrozenInstanceError, match=says):
        setattr(config, name, value)


def test_replace_is_the_cure():
    config = CLIPSegConfig()
    text = replace(config.text_config, hidden_size=64)
    changed = replace(config, text_config=text, reduce_dim=16)
    assert (changed.text_config.hidden_size, changed.reduce_dim) == (64, 16)
    assert (config.text_config.hidden_size, config.reduce_dim) == (512, 64)


@pytest.mark.parametrize("tower", TOWERS)
@pytest.mark.parametrize(
    ("plain", "older", "size"),
    [
        ({"intermediate_size": 64}, {"intermediate_size": 96}, 96),
        ({"intermediate_size": 64}, {}, 64),
        ({"intermediate_size": 64}, None, 64),
        ({}, {"intermediate_size": 96}, 96),
        (None, {"intermediate_size": 96}, 96),
    ],
    ids=str,
)
def test_from_dict_prefers_the_older_form_of_a_tower(tower, plain, older, size):
    config = CLIPSegConfig.from_dict({tower: plain, f"{tower}_dict": older})
    assert getattr(config, tower).intermediate_size == size


NO_COUNT = (0, -1, 2.5, 8.0, "8", None, [8], True)
NO_INDEX = (-1, 2.5, "2", None, [2], True)
NO_NUMBER = ("x", None, [1], True, float("nan"), float("inf"))
BAD = {
    **{
        (tower, name): NO_COUNT
        for tower in TOWERS
        for name in (
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
        )
    },
    **{(tower, "hidden_act"): ("swish", None, 1, ["gelu"]) for tower in TOWERS},
    **{(tower, "layer_norm_eps"): NO_NUMBER for tower in TOWERS},
    **{(tower, "attention_dropout"): NO_NUMBER for tower in TOWERS},
    **{
        (tower, name): (0, "yes", None)
        for tower in (None, *TOWERS)
        for name in ("output_attentions", "output_hidden_states", "return_dict")
    },
    ("text_config", "vocab_size"): (*NO_COUNT, 10**7, 2**31, 2**63, 10**30),
    ("text_config", "max_position_embeddings"): NO_COUNT,
    ("text_config", "eos_token_id"): (*NO_INDEX, 2**31, 2**63),
    ("text_config", "bos_token_id"): ("x", [1], 0.5, 2**63),
    ("text_config", "pad_token_id"): ("x", [1], 0.5, -(2**63) - 1),
    ("text_config", "initializer_range"): (*NO_NUMBER, 10**400, 1e300),
    ("vision_config", "num_channels"): (*NO_COUNT, 2**31),
    ("vision_config", "image_size"): (*NO_COUNT, 31, 10**9, 2**63),
    ("vision_config", "patch_size"): (*NO_COUNT, 225, 2**63),
    (None, "projection_dim"): NO_COUNT,
    (None, "reduce_dim"): (*NO_COUNT, 63),
    (None, "decoder_intermediate_size"): NO_COUNT,
    (None, "decoder_num_attention_heads"): (*NO_COUNT, 3),
    (None, "logit_scale_init_value"): NO_NUMBER,
    (None, "extract_layers"): ([], [3, 12], [-1], [6, 3], [3, 3], ["3"], [0.5], 3, None, "3"),
    (None, "conditional_layer"): (*NO_INDEX, 3),
    (None, "use_complex_transposed_convolution"): ("false", None, 1),
    (None, "default_threshold"): (0, 1, -0.1, 30, *NO_NUMBER),
}


@pytest.mark.parametrize("layers", [257, 10**6, 2**63, 10**30])
@pytest.mark.parametrize("tower", TOWERS)
def test_config_refuses_a_million_layers_at_once(tower, layers):
    with pytest.raises(ValueError, match=r"num_hidden_layers is .*; wanted .* from 1 to 256"):
        CLIPSegConfig.from_dict({tower: {"num_hidden_layers": layers}})


@pytest.mark.parametrize(
    ("tower", "name", "value"),
    [
        pytest.param(tower, name, value, id=f"{tower or 'config'}.{name}={value!r:.40}")
        for (tower, name), values in BAD.items()
        for value in values
    ],
)
def test_config_names_a_bad_value(tower, name, value, tmp_path):
    values = {tower: {name: value}} if tower else {name: value}
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        CLIPSegConfig.from_dict(values)
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=rf"config\.json.*\b{name}\b.*Get the checkpoint's"):
        CLIPSegConfig.from_pretrained(tmp_path)


def test_config_refuses_a_width_that_the_heads_do_not_divide():
    with pytest.raises(ValueError, match="hidden_size is 30, which num_attention_heads 4"):
        CLIPSegTextConfig(hidden_size=30, num_attention_heads=4)


@pytest.mark.parametrize(("patch", "width"), [(3, 64), (16, 1)])
def test_config_refuses_three_convolutions_without_room(patch, width):
    vision = CLIPSegVisionConfig(patch_size=patch)
    plain = CLIPSegConfig(vision_config=vision, reduce_dim=width, decoder_num_attention_heads=1)
    with pytest.raises(ValueError, match="use_complex_transposed_convolution wants"):
        replace(plain, use_complex_transposed_convolution=True)


@pytest.mark.parametrize("value", [2, -1, 0], ids=str)
def test_config_takes_a_whole_number_as_temperature(value):
    import torch

    from napari_clipseg.engine.modeling.model import CLIPSegModel

    with torch.device("meta"):
        model = CLIPSegModel(replace(CLIPSegConfig(), logit_scale_init_value=value))
    assert model.logit_scale.dtype == torch.float32


FILES = {
    "no JSON": ("{", "cannot be read as JSON"),
    "empty": ("", "cannot be read as JSON"),
    "no text": (b"\xff\xfe\x00", "cannot be read as JSON"),
    "a list": ("[1]", "holds a list, wanted a mapping"),
    "null": ("null", "holds a NoneType"),
    "another model": ('{"model_type": "clip"}', "type 'clip', wanted 'clipseg'"),
    "a tower that is a list": ('{"text_config": [1]}', "not a usable CLIPSeg configuration"),
    "a tower that is text": ('{"vision_config": "big"}', "not a usable CLIPSeg configuration"),
}


@pytest.mark.parametrize(("content", "says"), FILES.values(), ids=FILES)
def test_from_pretrained_names_a_broken_file_and_the_cure(content, says, tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CheckpointError, match=r"[Gg]et the checkpoint's|Choose a") as caught:
        CLIPSegConfig.from_pretrained(tmp_path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def test_from_pretrained_names_a_folder_without_the_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"has no config\.json\. Choose a folder") as caught:
        CLIPSegConfig.from_pretrained(tmp_path)
    assert str(tmp_path) in str(caught.value)
