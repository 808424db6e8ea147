"""The whole model against transformers' PaliGemma: both generations, prefix-LM, left padding, random weights."""

import pytest
import torch

from ojito.config import ConnectorConfig, DecoderConfig, ModelConfig, ViTConfig
from ojito.model import VLM
from ojito.records import IMAGE, PADDING, SHARED, Batch

transformers = pytest.importorskip("transformers")

VOCABULARY, IMAGE_ID, PAD_ID = 61, 60, 0
PATCHES, PROMPT, ANSWER, LEFT_PADDING = 16, 5, 4, 3
WINDOW = 6  # shorter than the prefix, which must ignore it

VISION_NAMES = {
    r"^stem": "embeddings.patch_embedding",
    r"^positions": "embeddings.position_embedding",
    r"^norm": "post_layernorm",
    r"^blocks": "encoder.layers",
    r"attention_norm": "layer_norm1",
    r"mlp_norm": "layer_norm2",
    r"attention\.([qkv])\b": r"self_attn.\1_proj",
    r"attention\.out": "self_attn.out_proj",
    r"mlp\.up": "mlp.fc1",
    r"mlp\.down": "mlp.fc2",
}
DECODER_NAMES = {
    r"^embedding": "embed_tokens",
    r"^blocks": "layers",
    r"attention\.([qkv])\b": r"self_attn.\1_proj",
    r"attention\.out": "self_attn.o_proj",
    r"mlp\.(gate|up|down)": r"mlp.\1_proj",
    r"attention_norm": "input_layernorm",
}
GEMMA_NAMES = {r"mlp_norm": "post_attention_layernorm"}
GEMMA2_NAMES = {
    r"attention_post_norm": "post_attention_layernorm",
    r"mlp_norm": "pre_feedforward_layernorm",
    r"mlp_post_norm": "post_feedforward_layernorm",
}


def reference_model(generation):
    text = {
        "model_type": ["gemma", "gemma2"][generation - 1], "vocab_size": VOCABULARY, "hidden_size": 24,
        "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": generation, "head_dim": 10,
        "intermediate_size": 40, "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6,
    }  # fmt: skip
    if generation == 2:
        text |= {
            "query_pre_attn_scalar": 7, "attn_logit_softcapping": 0.5, "final_logit_softcapping": 1.5,
            "sliding_window": WINDOW,
        }  # fmt: skip
    vision = {
        "model_type": "siglip_vision_model", "hidden_size": 36, "intermediate_size": 40, "num_hidden_layers": 2,
        "num_attention_heads": 3, "image_size": 32, "patch_size": 8, "vision_use_head": False, "projection_dim": 24,
    }  # fmt: skip
    config = transformers.PaliGemmaConfig(
        vision_config=vision, text_config=text, image_token_id=IMAGE_ID, projection_dim=24, pad_token_id=PAD_ID
    )
    config._attn_implementation = "eager"
    return transformers.PaliGemmaForConditionalGeneration(config).eval()


def our_model(generation):
    decoder = DecoderConfig(
        vocab_size=VOCABULARY, width=24, layers=3, heads=4, kv_heads=generation, head_dim=10, mlp_dim=40,
        activation="gelu_tanh", norm="rms_plus_one", scale_embeddings=True, mask="prefix",
        **({} if generation == 1 else {
            "post_norms": True, "query_scalar": 7, "attention_softcap": 0.5, "final_softcap": 1.5, "window": WINDOW,
        }),
    )  # fmt: skip
    vision = ViTConfig(image_size=32, patch_size=8, width=36, layers=2, heads=3, mlp_dim=40, activation="gelu_tanh")
    return VLM(ModelConfig(vision, ConnectorConfig(), decoder)).eval()


@pytest.mark.parametrize("generation", [1, 2])
def test_matches_reference_paligemma(randomise, load, generation):
    theirs, ours = reference_model(generation), our_model(generation)
    randomise(theirs)
    names = DECODER_NAMES | (GEMMA_NAMES if generation == 1 else GEMMA2_NAMES)
    load(ours.vision, theirs.model.vision_tower.state_dict(), VISION_NAMES)
    load(ours.connector.project, theirs.model.multi_modal_projector.linear.state_dict(), {})
    load(ours.decoder, theirs.model.language_model.state_dict(), names)

    length = LEFT_PADDING + PATCHES + PROMPT + ANSWER
    tokens = torch.randint(1, IMAGE_ID, (2, length))
    answer = torch.zeros(2, length, dtype=torch.bool)
    answer[:, -ANSWER:] = True
    padding = torch.zeros(2, length, dtype=torch.bool)
    padding[1, :LEFT_PADDING] = True  # the first row has a longer prompt instead
    image = torch.zeros(2, length, dtype=torch.bool)
    image[0, :PATCHES] = image[1, LEFT_PADDING : LEFT_PADDING + PATCHES] = True
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        their_logits = theirs(
            input_ids=tokens.masked_fill(image, IMAGE_ID).masked_fill(padding, PAD_ID),
            pixel_values=images,
            attention_mask=(~padding).long(),
            token_type_ids=answer.long(),  # without it, the reference's mask depends on its attention's form
        ).logits
        our_logits = ours(
            Batch(
                tokens=tokens.masked_fill(image, IMAGE).masked_fill(padding, PAD_ID),
                positions=((~padding).cumsum(1) - 1).clamp(min=0),
                segments=torch.where(padding, PADDING, SHARED),
                prefix=~answer & ~padding,
                targets=tokens,
                images=images,
            )
        )
    assert their_logits.std() > 0.1
    torch.testing.assert_close(our_logits[~padding], their_logits[~padding], rtol=1e-5, atol=1e-5)
