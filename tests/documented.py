"""What the reference library documents of CLIPSeg: names, order, defaults, fields; as facts."""

from __future__ import annotations

# name: its documented parameters, as Python writes them
PARAMETERS = {
    "CLIPSegConfig": (
        "text_config=None, vision_config=None, projection_dim=512, logit_scale_init_value=2.6592, "
        "extract_layers=[3, 6, 9], reduce_dim=64, decoder_num_attention_heads=4, "
        "decoder_attention_dropout=0.0, decoder_hidden_act='quick_gelu', "
        "decoder_intermediate_size=2048, conditional_layer=0, "
        "use_complex_transposed_convolution=False, **kwargs"
    ),
    "CLIPSegConfig.from_text_vision_configs": "text_config, vision_config, **kwargs",
    "CLIPSegTextConfig": (
        "vocab_size=49408, hidden_size=512, intermediate_size=2048, num_hidden_layers=12, "
        "num_attention_heads=8, max_position_embeddings=77, hidden_act='quick_gelu', "
        "layer_norm_eps=1e-05, attention_dropout=0.0, initializer_range=0.02, "
        "initializer_factor=1.0, pad_token_id=1, bos_token_id=49406, eos_token_id=49407, **kwargs"
    ),
    "CLIPSegVisionConfig": (
        "hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, "
        "num_channels=3, image_size=224, patch_size=32, hidden_act='quick_gelu', "
        "layer_norm_eps=1e-05, attention_dropout=0.0, initializer_range=0.02, "
        "initializer_factor=1.0, **kwargs"
    ),
    "CLIPSegProcessor": "image_processor=None, tokenizer=None, **kwargs",
    "CLIPSegModel": "config",
    "CLIPSegModel.forward": (
        "input_ids=None, pixel_values=None, attention_mask=None, position_ids=None, "
        "return_loss=None, output_attentions=None, output_hidden_states=None, return_dict=None"
    ),
    "CLIPSegModel.get_text_features": (
        "input_ids=None, attention_mask=None, position_ids=None, output_attentions=None, "
        "output_hidden_states=None, return_dict=None"
    ),
    "CLIPSegModel.get_image_features": (
        "pixel_values=None, output_attentions=None, output_hidden_states=None, return_dict=None"
    ),
    "CLIPSegTextModel": "config",
    "CLIPSegTextModel.forward": (
        "input_ids=None, attention_mask=None, position_ids=None, output_attentions=None, "
        "output_hidden_states=None, return_dict=None"
    ),
    "CLIPSegVisionModel": "config",
    "CLIPSegVisionModel.forward": (
        "pixel_values=None, output_attentions=None, output_hidden_states=None, return_dict=None"
    ),
    "CLIPSegForImageSegmentation": "config",
    "CLIPSegForImageSegmentation.forward": (
        "input_ids=None, pixel_values=None, conditional_pixel_values=None, "
        "conditional_embeddings=None, attention_mask=None, position_ids=None, labels=None, "
        "output_attentions=None, output_hidden_states=None, return_dict=None"
    ),
}
# The parameters of these two are not in the documents' text.
NOT_IN_THE_TEXT = ("CLIPSegVisionModel.forward", "CLIPSegConfig.from_text_vision_configs")

# name: the documented fields of an output, in the order of its tuple
FIELDS = {
    "BaseModelOutputWithPooling": "last_hidden_state, pooler_output, hidden_states, attentions",
    "CLIPSegOutput": (
        "loss, logits_per_image, logits_per_text, text_embeds, image_embeds, text_model_output, "
        "vision_model_output"
    ),
    "CLIPSegImageSegmentationOutput": (
        "loss, logits, conditional_embeddings, pooled_output, vision_model_output, decoder_output"
    ),
    "CLIPSegDecoderOutput": "logits, hidden_states, attentions",
}

# Documented as methods, without parameters in the text.
METHODS = (
    "CLIPSegConfig.from_pretrained",
    "CLIPSegProcessor.from_pretrained",
    "CLIPSegModel.from_pretrained",
    "CLIPSegTextModel.from_pretrained",
    "CLIPSegVisionModel.from_pretrained",
    "CLIPSegForImageSegmentation.from_pretrained",
    "CLIPSegProcessor.__call__",
    "CLIPSegProcessor.decode",
    "CLIPSegProcessor.batch_decode",
)

# (name, parameter): what is refused on purpose; docs/engine.md gives the reasons
REFUSED = {
    ("CLIPSegConfig", "kwargs"),
    ("CLIPSegTextConfig", "kwargs"),
    ("CLIPSegVisionConfig", "kwargs"),
    ("CLIPSegProcessor", "kwargs"),
}
# Documented with a default, and "a required input" by the same text.
REQUIRED = {("CLIPSegProcessor", "image_processor"), ("CLIPSegProcessor", "tokenizer")}
