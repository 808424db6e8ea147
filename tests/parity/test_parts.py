"""Every public part against transformers, through its folder.

The reference saves itself with random weights everywhere. Its folder is read onto `meta` modules, strictly; features or
logits are compared in float32; and our tensors, under their names again, are its tensors bit for bit.
"""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe_part
from ojito.checkpoint.tensors.reading import read_weights
from ojito.config import ResNetConfig
from ojito.model.decoder import Decoder
from ojito.model.masks import AttentionMetadata
from ojito.model.resnet import ResNet
from ojito.model.vit import ViT

transformers = pytest.importorskip("transformers")

V = 61
WIDTH = 24
SIZES = {"hidden_size": WIDTH, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 3}
SQUARE = {**SIZES, "image_size": 32, "patch_size": 8}
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
WORDS = {**SIZES, **TOKENS, "vocab_size": V, "max_position_embeddings": 16}
TEXT = {
    **SIZES, **TOKENS, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 10, "vocab_size": V,
    "max_position_embeddings": 64,
}  # fmt: skip
GEMMA = {**TEXT, "hidden_activation": "gelu_pytorch_tanh"}
GEMMA2 = {
    **GEMMA, "query_pre_attn_scalar": 7, "attn_logit_softcapping": 0.5, "final_logit_softcapping": 1.5,
    "sliding_window": 5,
}  # fmt: skip


@pytest.fixture
def save(tmp_path, randomize):
    """A folder of the reference, with random weights everywhere and a tokenizer that nobody asks."""

    def saved(reference):
        randomize(reference)
        reference.eval().save_pretrained(tmp_path)
        (tmp_path / "tokenizer.json").write_text("{}")
        return tmp_path

    return saved


def read_part(folder, kind, **changes):
    """Our module with the folder's weights, and the part that the folder describes."""
    part = describe_part(folder, kind)
    with torch.device("meta"):
        tower = ResNet if isinstance(part.config, ResNetConfig) else ViT
        module = {"vision": tower, "decoder": Decoder}[kind](dataclasses.replace(part.config, **changes))
    names = {f"{kind}.{name}": tensor for name, tensor in module.state_dict().items()}
    state = read_weights(folder, names, keys=part.keys)
    module.load_state_dict({name.removeprefix(f"{kind}."): tensor for name, tensor in state.items()}, assign=True)
    return module.eval(), part, state


def assert_same(ours, theirs):
    assert theirs.std() > 0.1  # or nothing is compared
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def assert_goes_back(folder, part, state):
    """All of their tensors that are read have their names, shapes and bits again."""
    theirs = {n: tensor for n, tensor in load_file(folder / "model.safetensors").items() if not part.keys.ignores(n)}
    made = part.keys.to_theirs(state)
    assert made.keys() == theirs.keys()
    assert all(torch.equal(made[name], tensor) for name, tensor in theirs.items())


# --------------------------------------------------------------------------------------------------------------- towers


def siglip(pair=False, **sizes):
    if pair:
        return transformers.SiglipModel(transformers.SiglipConfig(vision_config={**SQUARE, **sizes}, text_config=WORDS))
    return transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**{**SQUARE, **sizes}))


def clip(pair=False, **sizes):
    if pair:
        return transformers.CLIPModel(transformers.CLIPConfig(vision_config={**SQUARE, **sizes}, text_config=WORDS))
    return transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**{**SQUARE, **sizes}))


def naflex(pair=False):
    vision = {**SIZES, "num_patches": 16, "patch_size": 8}
    if pair:
        return transformers.Siglip2Model(transformers.Siglip2Config(vision_config=vision, text_config=WORDS))
    return transformers.Siglip2VisionModel(transformers.Siglip2VisionConfig(**vision))


def images(size=32):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))


def seen(reference, images):
    """The states after every layer of a tower, lone or in a pair, and the last of them after its norm."""
    tower = getattr(reference, "vision_model", reference)
    with torch.no_grad():
        made = tower(images, output_hidden_states=True)
    return made.hidden_states, made.last_hidden_state


LONE_AND_PAIR = pytest.mark.parametrize("pair", [False, True], ids=["lone", "pair"])


@LONE_AND_PAIR
@pytest.mark.parametrize("size", [32, 39])
def test_matches_reference_siglip(save, pair, size):
    reference = siglip(pair, image_size=size)  # of 39 pixels, 7 are not read
    folder = save(reference)
    tower, part, state = read_part(folder, "vision")
    assert_same(tower(images(size)), seen(reference, images(size))[1])
    assert_goes_back(folder, part, state)


def test_matches_reference_siglip_without_its_pooling_head(save):
    reference = siglip(vision_use_head=False)
    folder = save(reference)
    tower, part, state = read_part(folder, "vision")
    assert_same(tower(images()), seen(reference, images())[1])
    assert_goes_back(folder, part, state)


def test_lone_tower_is_read_in_the_layout_of_a_pair(save):
    """As versions before 5 saved it."""
    reference = siglip()
    folder = save(reference)
    weights = load_file(folder / "model.safetensors")
    constant = {"vision_model.embeddings.position_ids": torch.arange(16)[None]}
    save_file({**{f"vision_model.{n}": t for n, t in weights.items()}, **constant}, folder / "model.safetensors")
    assert_same(read_part(folder, "vision")[0](images()), seen(reference, images())[1])


@LONE_AND_PAIR
@pytest.mark.parametrize("size", [32, 48, 24])
def test_matches_reference_siglip2_of_any_size(save, pair, size):
    """Square images: of the size of its table of positions, larger, smaller."""
    reference = naflex(pair)
    folder = save(reference)
    tower, part, state = read_part(folder, "vision", image_size=size)
    pixels, grid = images(size), size // 8
    patches = pixels.unfold(2, 8, 8).unfold(3, 8, 8)  # (N, 3, rows, columns, 8, 8)
    patches = patches.permute(0, 2, 3, 4, 5, 1).flatten(3).flatten(1, 2)
    with torch.no_grad():
        made = getattr(reference, "vision_model", reference)(
            pixel_values=patches,
            pixel_attention_mask=torch.ones(2, grid**2, dtype=torch.long),
            spatial_shapes=torch.tensor([[grid, grid]] * 2),
        )
    assert_same(tower(pixels), made.last_hidden_state)
    assert_goes_back(folder, part, state)


@LONE_AND_PAIR
@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@pytest.mark.parametrize("layer", [-1, -2])
def test_matches_reference_clip(save, pair, activation, layer):
    reference = clip(pair, hidden_act=activation)
    folder = save(reference)
    tower, part, state = read_part(folder, "vision", feature_layer=layer)
    theirs = seen(reference, images())[0][layer][:, 1:]
    if layer == -1:
        with torch.no_grad():
            theirs = getattr(reference, "vision_model", reference).post_layernorm(theirs)
    assert_same(tower(images()), theirs)
    assert_goes_back(folder, part, state)


def test_matches_reference_clip_with_its_projection(save):
    reference = transformers.CLIPVisionModelWithProjection(transformers.CLIPVisionConfig(**SQUARE))
    tower, part, _ = read_part(save(reference), "vision")
    assert part.config.feature_layer == -2
    assert_same(tower(images()), seen(reference, images())[0][-2][:, 1:])


@pytest.mark.parametrize(
    "older", [None, {}, {"patch_size": 16}, {"hidden_size": 96, "image_size": 64, "hidden_act": "gelu"}]
)
@pytest.mark.parametrize("family", ["CLIP", "Siglip", "Siglip2"])
def test_matches_reference_on_fields_that_a_pair_has_twice(tmp_path, family, older):
    """As older configs of CLIP have; the others' have not, and there the second is not read."""
    config = {"model_type": family.lower(), "text_config": WORDS, "vision_config": SQUARE, "vision_config_dict": older}
    (tmp_path / "config.json").write_text(json.dumps(config))
    theirs = getattr(transformers, f"{family}Config").from_pretrained(tmp_path).vision_config.to_dict()
    (tmp_path / "config.json").write_text(json.dumps(theirs))
    lone = describe_part(tmp_path, "vision").config
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert describe_part(tmp_path, "vision").config == lone


def test_tower_that_is_saved_beside_a_processor_of_tiles_reads_plain_squares(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "smolvlm_vision", **SQUARE}))
    transformers.SmolVLMImageProcessorPil(
        size={"longest_edge": 128}, max_image_size={"longest_edge": 32}
    ).save_pretrained(tmp_path)
    half = [0.5, 0.5, 0.5]
    assert describe_part(tmp_path, "vision").image == {"resample": "lanczos", "mean": half, "std": half}


@pytest.mark.parametrize("kind", ["vision", "decoder"])
def test_part_of_nanovlm_is_refused_by_its_name(tmp_path, kind):
    values = {"vit_hidden_dim": 768, "lm_hidden_dim": 960, "mp_pixel_shuffle_factor": 4}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(
        CheckpointError, match="a whole model of nanoVLM, and a part is needed; load the model, save it"
    ):
        describe_part(tmp_path, kind)


@pytest.mark.parametrize("family", ["idefics3", "smolvlm"])
@pytest.mark.parametrize("grid", [4, 19])  # at 19, fractions of the side put two neighbours into one place
def test_matches_reference_idefics3(save, family, grid):
    name = {"idefics3": "Idefics3", "smolvlm": "SmolVLM"}[family]
    module = getattr(transformers.models, family)
    config = getattr(module, f"{name}VisionConfig")(**SIZES, image_size=2 * grid, patch_size=2)
    reference = getattr(module, f"{name}VisionTransformer")(config)
    folder = save(reference)
    tower, part, state = read_part(folder, "vision")
    assert_same(tower(images(2 * grid)), seen(reference, images(2 * grid))[1])
    assert_goes_back(folder, part, state)


@pytest.mark.parametrize("name", ["ViTModel", "ViTForImageClassification"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_pytorch_tanh"])
def test_matches_reference_vit(save, name, activation):
    """The original one, as DINO is saved, too."""
    reference = getattr(transformers, name)(transformers.ViTConfig(**SQUARE, hidden_act=activation))
    folder = save(reference)
    tower, part, state = read_part(folder, "vision")
    with torch.no_grad():
        made = getattr(reference, "vit", reference)(images())
    assert_same(tower(images()), made.last_hidden_state[:, 1:])
    assert part.image == {"resample": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3}
    if name == "ViTModel":
        assert_goes_back(folder, part, state)


def test_vit_without_biases_is_refused(tmp_path):
    transformers.ViTConfig(**SQUARE, qkv_bias=False).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="qkv_bias is 'False'; Ojito has only True"):
        describe_part(tmp_path, "vision")


RESNET = {"embedding_size": 8, "hidden_sizes": [16, 32, 64], "depths": [2, 1, 2]}


def resnet(name="ResNetModel", **settings):
    return getattr(transformers, name)(transformers.ResNetConfig(**{**RESNET, **settings}))


@pytest.mark.parametrize("name", ["ResNetModel", "ResNetForImageClassification", "ResNetBackbone"])
def test_matches_reference_resnet(save, name):
    reference = resnet(name)
    folder = save(reference)
    tower, part, state = read_part(folder, "vision", image_size=64)
    assert part.image == {
        "fit": "crop", "resample": "bicubic", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
    }  # fmt: skip
    body = getattr(reference, "resnet", reference)
    with torch.no_grad():
        theirs = body.encoder(body.embedder(images(64))).last_hidden_state
        assert_same(tower(images(64)), theirs.flatten(2).transpose(1, 2))
    assert part.config.blocks == (2, 1, 2)
    assert len(state) == len(body.embedder.state_dict()) + len(body.encoder.state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer_type": "basic"}, "layer_type is 'basic'; Ojito has only 'bottleneck'"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; Ojito has only 'relu'"),
        ({"downsample_in_bottleneck": True}, "downsample_in_bottleneck is 'True'; Ojito has only False"),
        ({"downsample_in_first_stage": True}, "downsample_in_first_stage is 'True'; Ojito has only False"),
        ({"hidden_sizes": [16, 32, 48]}, "hidden_sizes is .*; Ojito has as many as depths, each twice the one before"),
    ],
    ids=str,
)
def test_resnet_that_computes_something_else_is_refused(tmp_path, settings, message):
    resnet(**settings).config.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        describe_part(tmp_path, "vision")


@pytest.mark.parametrize(("side", "fit"), [(160, "crop"), (384, "squash")])
def test_resnet_reads_images_as_its_processor_prepares_them(tmp_path, side, fit):
    resnet().config.save_pretrained(tmp_path)
    transformers.ConvNextImageProcessorPil(
        size={"shortest_edge": side}, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6], resample=2
    ).save_pretrained(tmp_path)
    part = describe_part(tmp_path, "vision")
    assert part.config.image_size == side
    assert part.image == {"fit": fit, "resample": "bilinear", "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}


# ------------------------------------------------------------------------------------------------------------- decoders


def tokens(length):
    return torch.randint(0, V, (2, length), generator=torch.Generator().manual_seed(1))


def our_logits(decoder, words):
    places = AttentionMetadata(
        torch.arange(words.shape[1]).expand(words.shape), torch.zeros_like(words), -torch.ones_like(words)
    )
    with torch.no_grad():
        return decoder.head(decoder(decoder.embed(words), places))


def assert_decodes_as(reference, folder, length=14):
    decoder, part, state = read_part(folder, "decoder")
    with torch.no_grad():
        theirs = reference(tokens(length)).logits
    assert_same(our_logits(decoder, tokens(length)), theirs)
    assert_goes_back(folder, part, state)


def gpt2(**settings):
    sizes = {"vocab_size": V, "n_embd": WIDTH, "n_layer": 2, "n_head": 3, "n_positions": 32, **TOKENS}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, **settings))


def llama(rope=None, **settings):
    rope = rope or {"rope_type": "default", "rope_theta": 500.0}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**TEXT, rope_parameters=rope, **settings))


@pytest.mark.parametrize(
    "settings",
    [{}, {"n_inner": 40}, {"activation_function": "gelu"}, {"tie_word_embeddings": False}, {"layer_norm_epsilon": 0.1}],
    ids=str,
)
def test_matches_reference_gpt2(save, settings):
    reference = gpt2(**settings)
    assert_decodes_as(reference, save(reference))


def test_matches_reference_gpt2_as_its_first_files_are(save):
    """Without the beginning that all names have today, and with a mask of ones beside the weights of each layer."""
    reference = gpt2()
    folder = save(reference)
    weights = {n.removeprefix("transformer."): t for n, t in load_file(folder / "model.safetensors").items()}
    for layer in range(2):
        weights[f"h.{layer}.attn.bias"] = torch.ones(1, 1, 32, 32, dtype=torch.bool).tril()
        weights[f"h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    save_file(weights, folder / "model.safetensors")
    with torch.no_grad():
        theirs = reference(tokens(14)).logits
    assert_same(our_logits(read_part(folder, "decoder")[0], tokens(14)), theirs)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
def test_matches_reference_llama(save, tied, bias):
    """SmolLM2 is one, tied and without biases."""
    reference = llama(tie_word_embeddings=tied, attention_bias=bias, mlp_bias=bias, rms_norm_eps=1e-5)
    assert_decodes_as(reference, save(reference))


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0},
        {
            "rope_type": "llama3", "factor": 8.0, "rope_theta": 500.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ],
    ids=lambda rope: rope["rope_type"],
)  # fmt: skip
def test_matches_reference_llama_beyond_its_first_positions(save, rope):
    reference = llama(rope)
    assert_decodes_as(reference, save(reference), length=60)


@pytest.mark.parametrize("family", ["Qwen2", "Qwen3"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_matches_reference_qwen(save, family, tied):
    sizes = TEXT if family == "Qwen3" else {**TEXT, "head_dim": 6}
    config = getattr(transformers, f"{family}Config")(
        **sizes, tie_word_embeddings=tied, rope_parameters={"rope_type": "default", "rope_theta": 500.0}
    )
    reference = getattr(transformers, f"{family}ForCausalLM")(config)
    assert_decodes_as(reference, save(reference))


def test_matches_reference_gemma(save):
    reference = transformers.GemmaForCausalLM(transformers.GemmaConfig(**GEMMA))
    assert_decodes_as(reference, save(reference))


def test_matches_reference_gemma2(save):
    reference = transformers.Gemma2ForCausalLM(transformers.Gemma2Config(**GEMMA2, attn_implementation="eager"))
    assert_decodes_as(reference, save(reference))


@pytest.mark.parametrize("every", [2, 3])
def test_matches_reference_gemma3(save, every):
    types = ["sliding_attention" if layer % every else "full_attention" for layer in range(1, 4)]
    rope = {
        "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5000.0},
    }
    config = transformers.Gemma3TextConfig(
        **GEMMA, layer_types=types, rope_parameters=rope, query_pre_attn_scalar=7, sliding_window=5
    )
    reference = transformers.Gemma3ForCausalLM(config)
    assert_decodes_as(reference, save(reference))


# ------------------------------------------------------------------------------------- parts of vision-language models


def paligemma(text):
    model_type = "gemma2" if "sliding_window" in text else "gemma"
    return transformers.PaliGemmaForConditionalGeneration(
        transformers.PaliGemmaConfig(
            vision_config={"model_type": "siglip_vision_model", **SQUARE, "projection_dim": WIDTH},
            text_config={"model_type": model_type, **text},
            projection_dim=WIDTH, image_token_id=V - 1, attn_implementation="eager",
        )
    )  # fmt: skip


def llava():
    return transformers.LlavaForConditionalGeneration(
        transformers.LlavaConfig(
            vision_config={"model_type": "clip_vision_model", **SQUARE},
            text_config={"model_type": "llama", **TEXT},
            image_token_index=V - 1, vision_feature_layer=-2,
        )
    )  # fmt: skip


def smolvlm():
    return transformers.SmolVLMForConditionalGeneration(
        transformers.SmolVLMConfig(
            vision_config=SQUARE, text_config={"model_type": "llama", **TEXT}, image_token_id=V - 1, scale_factor=2
        )
    )


def gemma3():
    return transformers.Gemma3ForConditionalGeneration(
        transformers.Gemma3Config(
            vision_config={"model_type": "siglip_vision_model", **SQUARE},
            text_config={**GEMMA, "query_pre_attn_scalar": 7, "sliding_window": 5},
            mm_tokens_per_image=4, image_token_index=V - 1,
        )
    )  # fmt: skip


WHOLE = {
    "paligemma": lambda: paligemma(GEMMA),
    "paligemma2": lambda: paligemma(GEMMA2),
    "llava": llava,
    "smolvlm": smolvlm,
    "gemma3": gemma3,
}


@pytest.mark.parametrize("family", WHOLE)
def test_matches_reference_tower_and_decoder_out_of_a_whole_model(save, family):
    reference = WHOLE[family]()
    folder = save(reference)
    tower, part, _ = read_part(folder, "vision")
    inner = reference.model
    states, last = seen(inner.vision_model if family == "smolvlm" else inner.vision_tower, images())
    assert_same(tower(images()), states[-2][:, 1:] if family == "llava" else last)
    assert part.image["mean"]
    assert "fit" not in part.image or family == "llava"

    decoder, _, _ = read_part(folder, "decoder", final_softcap=0.0)  # which comes after the head
    text = inner.text_model if family == "smolvlm" else inner.language_model
    with torch.no_grad():
        theirs = reference.lm_head(text(tokens(14)).last_hidden_state)
    assert_same(our_logits(decoder, tokens(14)), theirs)


@pytest.mark.parametrize("family", WHOLE)
def test_nothing_of_a_part_out_of_a_whole_model_is_left_unread(save, family):
    folder = save(WHOLE[family]())
    for kind, module in (("vision", ViT), ("decoder", Decoder)):
        part = describe_part(folder, kind)
        names = {f"{kind}.{name}": tensor for name, tensor in module(part.config).state_dict().items()}
        read_weights(folder, names, keys=part.keys)
        fewer = {name: tensor for name, tensor in names.items() if "blocks.1." not in name}
        with pytest.raises(CheckpointError, match="unexpected"):
            read_weights(folder, fewer, keys=part.keys)
