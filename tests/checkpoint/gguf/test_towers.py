"""Every projector against transformers: a tiny random model as a GGUF file and its mmproj."""

import re

import gguf
import pytest
import torch

import ojito
from ojito.checkpoint.files import CheckpointError
from ojito.checkpoint.folder import describe, describe_part
from ojito.model.vit import ViT
from ojito.records import PADDING
from tests import gguf_files
from tests.checkpoint.gguf import test_decoders
from tests.parity import reference
from tests.parity.reference import NONE, ONE, SEVERAL

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

NAMES = (
    (r"embeddings\.class_embedding", "v.class_embd"),
    (r"embeddings\.patch_embedding", "v.patch_embd"),
    (r"embeddings\.position_embedding", "v.position_embd"),
    (r"pre_layrnorm", "v.pre_ln"),
    (r"post_layernorm", "v.post_ln"),
    (r"encoder\.layers\.(\d+)\.self_attn\.([qkv])_proj", r"v.blk.\1.attn_\2"),
    (r"encoder\.layers\.(\d+)\.self_attn\.out_proj", r"v.blk.\1.attn_out"),
    (r"encoder\.layers\.(\d+)\.layer_norm(\d)", r"v.blk.\1.ln\2"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc1", r"v.blk.\1.ffn_up"),
    (r"encoder\.layers\.(\d+)\.mlp\.fc2", r"v.blk.\1.ffn_down"),
    (r"linear_1", "mm.0"),
    (r"linear_2", "mm.2"),
    (r"mm_input_projection_weight", "mm.input_projection.weight"),
    (r"mm_soft_emb_norm", "mm.soft_emb_norm"),
    (r"modality_projection\.proj", "mm.model.fc"),
)
"""transformers' names, after those of the part, to llama.cpp's."""

ARCH = {"llava": "llama", "idefics3": "llama", "smolvlm": "llama", "gemma3": "gemma3"}
KIND = {"llava": "mlp", "idefics3": "idefics3", "smolvlm": "idefics3", "gemma3": "gemma3"}
USUAL = {"gemma3": {"text": {"query_pre_attn_scalar": 10}}}
SIGLIP = {
    "vision": {**reference.SIGLIP, "num_hidden_layers": 3}, "whole": {"vision_feature_select_strategy": "full"},
}  # fmt: skip


def split(model):
    """The tensors of the language model, by the names of one alone, and the others by llama.cpp's."""
    text, vision = {}, {}
    for name, tensor in model.state_dict().items():
        language = re.sub(r"^model\.(language_model|text_model)\.", "model.", name)
        if language != name or name == "lm_head.weight":
            text[language] = tensor
            continue
        inner = re.sub(r"^model\.(vision_tower|vision_model|multi_modal_projector|connector)\.", "", name)
        pattern, theirs = next(pair for pair in NAMES if re.match(pair[0], inner))
        vision[re.sub(f"^{pattern}", theirs, inner)] = tensor
    return text, vision


def write(folder, made, exchanged=False, **more):
    """A reference as a GGUF file and its mmproj; LLaVA's tower without what comes after the layer that is read."""
    config, (text, vision) = made.model.config, split(made.model)
    gemma, bytes_ = made.family == "gemma3", made.family in ("idefics3", "smolvlm")
    path = gguf_files.write_text(
        folder / "model.gguf", ARCH[made.family], config.text_config, text, made.processor.tokenizer,
        kind="gpt2" if bytes_ else "llama", begins=not bytes_ and not gemma,
        template=None if made.family == "llava" else reference.CHAT,
    )  # fmt: skip
    tower = config.vision_config
    layers = tower.num_hidden_layers - (made.family == "llava")
    vision = {
        name: tensor for name, tensor in vision.items()
        if not (made.family == "llava" and (f"blk.{layers}." in name or "post_ln" in name))
    }  # fmt: skip
    if gemma:
        vision["mm.soft_emb_norm.weight"] = vision["mm.soft_emb_norm.weight"] + 1
    if exchanged:
        other = {"up": "down", "down": "up"}
        vision = {re.sub(r"ffn_(up|down)", lambda m: f"ffn_{other[m[1]]}", n): t for n, t in vision.items()}
    its = reference.FAMILIES[made.family]
    options = {"layers": layers, "gelu": tower.hidden_act != "quick_gelu", **more}
    options |= {"scale": its.fold} if its.fold > 1 else {}
    options |= {"longest": 2 * tower.image_size} if its.tiles else {}
    return path, gguf_files.write_mmproj(folder / "mmproj.gguf", KIND[made.family], tower, vision, **options)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Each family, made and written once."""
    made = {}

    def find(family):
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            theirs = reference.make(family, **USUAL.get(family, {}))
            made[family] = (theirs, *write(folder, theirs))
        return made[family]

    return find


def load(path, mmproj):
    return ojito.load(path, device="cpu", dtype="float32", mmproj=mmproj)


def assert_same_logits(theirs, pipe):
    batch = pipe.processor([ONE, SEVERAL, NONE])
    read = batch.segments != PADDING
    with torch.inference_mode():
        ours = pipe.model(batch)[read]
    expected = theirs.logits(batch)[read]
    assert expected.std() > 0.1  # or nothing is compared
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ARCH)
def test_matches_reference_logits(files, family):
    theirs, path, mmproj = files(family)
    assert_same_logits(theirs, load(path, mmproj))


@pytest.mark.parametrize("family", ARCH)
def test_prompt_and_images_are_those_of_the_public_folder(files, family, tmp_path):
    theirs, path, mmproj = files(family)
    ours, public = load(path, mmproj).processor.config, theirs.ours(tmp_path).processor.config
    assert ours.prompt == public.prompt
    known = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}  # what these files say
    expected = {**vars(public.image), **known}
    assert vars(ours.image) == expected
    # Older files do not say which other token ends a turn, and name fewer.
    assert set(ours.tokenizer.eos) <= {*public.tokenizer.eos, "<end_of_turn>", "<end_of_utterance>"}
    assert ours.tokenizer.bos == public.tokenizer.bos


def test_matches_reference_with_siglip_in_llava(tmp_path):
    theirs = reference.make("llava", **SIGLIP)
    assert_same_logits(theirs, load(*write(tmp_path, theirs)))


def test_matches_reference_where_the_matrices_of_the_mlp_have_each_others_names(tmp_path):
    theirs = reference.make("llava")
    assert_same_logits(theirs, load(*write(tmp_path, theirs, exchanged=True)))


def test_matches_reference_without_a_scale_factor_of_four(tmp_path):
    theirs = reference.make("gemma3", **USUAL["gemma3"], whole={"mm_tokens_per_image": 64})
    pipe = load(*write(tmp_path, theirs, scale=1))
    assert pipe.model.config.image_tokens == 16  # as the family's fold in the reference's own table says


def test_a_folder_with_both_files_is_one_model(files, tmp_path):
    _, path, mmproj = files("idefics3")
    for file in (path, mmproj):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert ojito.load(tmp_path, device="cpu").model.config.image_tokens == 25


def test_mmproj_of_half_precision_is_read(tmp_path):
    theirs = reference.make("idefics3")
    pipe = load(*write(tmp_path, theirs, types={r"v\.blk.*weight|mm.*": gguf.GGMLQuantizationType.F16}))
    weight = theirs.model.model.connector.modality_projection.proj.weight
    assert torch.equal(pipe.model.connector.project.weight, weight.half().float())


def test_tower_of_a_pair_of_files_is_a_part(files, tmp_path):
    _, path, mmproj = files("gemma3")
    for file in (path, mmproj):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    part = describe_part(tmp_path, "vision")
    expected = ViT(part.config).state_dict()
    names = part.keys.resolve([f"vision.{name}" for name in expected], part.folder.header)
    assert {key.name for key in names.values()} <= {*part.folder.header}
    assert part.image == {"resample": "bilinear", "mean": [0.5] * 3, "std": [0.5] * 3}


def test_image_statistics_are_the_files(tmp_path):
    theirs = reference.make("idefics3")
    path, mmproj = write(tmp_path, theirs)
    reader, writer = gguf.GGUFReader(mmproj), gguf.GGUFWriter(tmp_path / "b.gguf", "clip")
    for name, field in reader.fields.items():
        if name.startswith("clip.vision.image_"):
            continue
        if name.startswith("clip."):
            writer.add_key_value(name, field.contents(), field.types[0])
    writer.add_uint32("clip.vision.image_size", 50)
    writer.add_vision_image_mean([0.1, 0.2, 0.3])
    writer.add_vision_image_std([0.4, 0.5, 0.6])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    gguf_files.finish(writer)
    image = describe(path, tmp_path / "b.gguf").processor.image
    assert image.mean == pytest.approx((0.1, 0.2, 0.3))
    assert image.std == pytest.approx((0.4, 0.5, 0.6))


def small(path, arch="clip", **values):
    """A file of metadata alone."""
    writer = gguf.GGUFWriter(path, arch)
    for key, value in values.items():
        add = {str: writer.add_string, int: writer.add_uint32, bool: writer.add_bool}[type(value)]
        add(key.replace("__", "."), value)
    gguf_files.finish(writer)
    return path


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"clip__projector_type": "qwen2vl_merger"}, r"'qwen2vl_merger'; Ojito knows mlp, gemma3, idefics3"),
        ({"clip__projector_type": "idefics3"}, r"has no clip\.vision\.embedding_length in its metadata"),
        ({"clip__projector_type": 3}, "projector_type"),
        ({"clip__has_audio_encoder": True}, "has_audio_encoder"),
    ],
)
def test_mmproj_that_cannot_be_followed_is_refused(files, tmp_path, values, said):
    _, path, _ = files("idefics3")
    with pytest.raises(CheckpointError, match=said):
        describe(path, small(tmp_path / "mmproj.gguf", **values))


def test_files_in_each_others_place_are_refused(files):
    _, path, mmproj = files("idefics3")
    with pytest.raises(CheckpointError, match=r"is an mmproj, which has a vision tower and no language model"):
        describe(mmproj)
    with pytest.raises(CheckpointError, match=r"is no mmproj: its architecture is llama, not clip"):
        describe(path, path)


def test_mmproj_of_another_model_is_refused(files):
    _, path, _ = files("gemma3")
    _, _, other = files("idefics3")
    with pytest.raises(CheckpointError, match=r"which is no token of its vocabulary"):
        load(path, other)


def test_mmproj_of_a_family_with_its_own_decoder_is_refused_beside_another(files, tmp_path):
    _, path, other = files("gemma3")
    text = test_decoders.store(tmp_path / "a.gguf", "gemma2", *test_decoders.draw("gemma2"), template=reference.CHAT)
    with pytest.raises(CheckpointError, match=r"mmproj\.gguf: is for a decoder of gemma3, and a\.gguf is gemma2; give"):
        describe(text, other)
    assert describe(path, other)


def test_mmproj_for_another_width_is_refused(files, tmp_path):
    _, path, _ = files("llava")
    other = write(tmp_path, reference.make("llava", text={"hidden_size": 32}))[1]
    with pytest.raises(CheckpointError, match=r"model\.gguf: does not fit its metadata: .*mm\.2\.weight is \[32, 32\]"):
        load(path, other)
