"""One table for both directions: every form of a tensor inverts, every layout is found, nothing is left nameless."""

import itertools

import pytest
import torch

from ojito.checkpoint.keys import Key, KeyMap, Section

FORMS = [
    (Key("x"), (3, 4)),
    (Key("x"), (5,)),
    (Key("x"), ()),
    (Key("x", transposed=True), (3, 4)),
    (Key("x", transposed=True), (5,)),  # a bias beside a transposed matrix is as it is
    (Key("x", leading=1), (3, 4)),
    (Key("x", leading=2), (5,)),
    (Key("x", transposed=True, leading=1), (3, 4)),
    (Key("x", flat_patches=True), (4, 3, 2, 2)),
    (Key("x", flat_patches=True), (4,)),  # its bias
    (Key("x", parts=3), (2, 4)),
    (Key("x", parts=3), (2,)),
    (Key("x", parts=3, transposed=True), (2, 4)),
    (Key("x", parts=2, transposed=True, leading=1), (2, 4)),
]


def numbered(shape):
    """A tensor in which no two numbers are alike."""
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


def parts_of(key):
    return [Key(key.name, key.transposed, part, key.parts, key.leading, key.flat_patches) for part in range(key.parts)]


@pytest.mark.parametrize(("key", "shape"), FORMS)
def test_tensor_roundtrips_through_every_form(key, shape):
    theirs = numbered(key.their_shape(shape))
    ours = [part.to_ours(theirs, shape) for part in parts_of(key)]
    assert {tuple(tensor.shape) for tensor in ours} == {shape}
    back = key.to_theirs(ours)
    assert torch.equal(back, theirs)
    assert all(torch.equal(a.to_ours(back, shape), b) for a, b in zip(parts_of(key), ours, strict=True))


@pytest.mark.parametrize(("key", "shape"), FORMS)
def test_parts_hold_every_number_once(key, shape):
    theirs = numbered(key.their_shape(shape))
    ours = torch.cat([part.to_ours(theirs, shape).flatten() for part in parts_of(key)])
    assert torch.equal(ours.sort().values, theirs.flatten())


@pytest.mark.parametrize(
    ("key", "shape", "theirs"),
    [
        (Key("x", transposed=True), (3, 4), (4, 3)),
        (Key("x", leading=2), (5,), (1, 1, 5)),
        (Key("x", flat_patches=True), (4, 3, 2, 2), (4, 12)),
        (Key("x", parts=3), (2, 4), (6, 4)),
        (Key("x", parts=3, transposed=True), (2, 4), (4, 6)),
    ],
)
def test_shape_in_their_file_is_written_out(key, shape, theirs):
    assert key.their_shape(shape) == theirs


def test_parts_stand_one_after_another_along_the_outputs():
    fused = torch.cat([torch.full((2, 4), value) for value in (0.0, 1.0, 2.0)])
    for part in range(3):
        assert torch.equal(Key("x", part=part, parts=3).to_ours(fused, (2, 4)), torch.full((2, 4), float(part)))
        transposed = Key("x", transposed=True, part=part, parts=3).to_ours(fused.T, (2, 4))
        assert torch.equal(transposed, torch.full((2, 4), float(part)))


def test_flat_patches_are_read_row_by_row_and_channel_last():
    flat = numbered((1, 12))
    patch = Key("x", flat_patches=True).to_ours(flat, (1, 3, 2, 2))
    for y, x, channel in itertools.product(range(2), range(2), range(3)):
        assert patch[0, channel, y, x] == flat[0, (y * 2 + x) * 3 + channel]


@pytest.mark.parametrize(("key", "shape"), [(key, shape) for key, shape in FORMS if not key.flat_patches])
def test_tensor_to_ours_is_a_view(key, shape):
    theirs = numbered(key.their_shape(shape))
    assert key.to_ours(theirs, shape).untyped_storage().data_ptr() == theirs.untyped_storage().data_ptr()


# ----------------------------------------------------------------------------------------------------------- the table

TABLE = {
    "stem": "embed.patch",
    "blocks.*.attention.q": Key("layers.*.qkv", part=0, parts=2),
    "blocks.*.attention.k": Key("layers.*.qkv", part=1, parts=2),
    "blocks.*.norm": "layers.*.ln",
    "project.weight": Key("projection", transposed=True),
    "class_token": "embed.cls",
}
OURS = (
    "vision.stem.weight", "vision.stem.bias", "vision.blocks.0.attention.q.weight",
    "vision.blocks.0.attention.k.weight", "vision.blocks.11.norm.weight", "vision.project.weight", "vision.class_token",
)  # fmt: skip
MAP = KeyMap((Section("vision.", ("model.vision.", "vision_tower."), TABLE),), ignored=(r".*\.inv_freq", r"old\..*"))


def random_state():
    fused = {f"vision.blocks.0.attention.{part}.weight": torch.randn(2, 4) for part in "qk"}
    return {"vision.stem.weight": torch.randn(2, 3), "vision.project.weight": torch.randn(3, 5), **fused}


def test_names_are_looked_up_with_layer_and_ending():
    assert {ours: key.name for ours, key in MAP.resolve(OURS).items()} == {
        "vision.stem.weight": "model.vision.embed.patch.weight",
        "vision.stem.bias": "model.vision.embed.patch.bias",
        "vision.blocks.0.attention.q.weight": "model.vision.layers.0.qkv.weight",
        "vision.blocks.0.attention.k.weight": "model.vision.layers.0.qkv.weight",
        "vision.blocks.11.norm.weight": "model.vision.layers.11.ln.weight",
        "vision.project.weight": "model.vision.projection",
        "vision.class_token": "model.vision.embed.cls",
    }


@pytest.mark.parametrize("beginning", ["model.vision.", "vision_tower."])
def test_layout_is_the_one_that_the_file_has(beginning):
    found = [f"{beginning}embed.patch.weight", "something.else"]
    assert all(key.name.startswith(beginning) for key in MAP.resolve(OURS, found).values())


def test_layout_with_the_most_names_wins():
    found = ["model.vision.embed.patch.weight", "vision_tower.embed.patch.weight", "vision_tower.embed.patch.bias"]
    assert MAP.resolve(OURS, found)["vision.stem.weight"].name == "vision_tower.embed.patch.weight"


@pytest.mark.parametrize("found", [None, (), ["nothing.known"]])
def test_layout_is_the_first_where_the_file_does_not_say(found):
    assert MAP.resolve(OURS, found)["vision.stem.weight"].name == "model.vision.embed.patch.weight"


def test_each_section_finds_its_own_layout():
    both = KeyMap(
        (Section("vision.", ("a.", "b."), {"stem": "patch"}), Section("decoder.", ("a.", "b."), {"norm": "ln"}))
    )
    resolved = both.resolve(["vision.stem.weight", "decoder.norm.weight"], ["b.patch.weight", "a.ln.weight"])
    assert {key.name for key in resolved.values()} == {"b.patch.weight", "a.ln.weight"}


def test_section_names_what_an_earlier_one_with_the_same_beginning_does_not():
    both = KeyMap((Section("decoder.", ("model.",), {"norm": "ln"}), Section("decoder.", ("",), {"head": "lm_head"})))
    names = {ours: key.name for ours, key in both.resolve(["decoder.norm.weight", "decoder.head.weight"]).items()}
    assert names == {"decoder.norm.weight": "model.ln.weight", "decoder.head.weight": "lm_head.weight"}


@pytest.mark.parametrize("beginning", ["model.vision.", "vision_tower."])
def test_names_in_a_file_lead_back_to_ours_in_every_layout(beginning):
    theirs = [key.name.replace("model.vision.", beginning) for key in MAP.resolve(OURS).values()]
    found = MAP.owners([*theirs, "something.else", f"{beginning}embed.patchwork.weight"])
    assert {ours for meant in found.values() for ours in meant} == {*OURS}
    fused = found[f"{beginning}layers.0.qkv.weight"]
    assert [(key.part, key.parts, key.name) for key in fused.values()] == [
        (0, 2, f"{beginning}layers.0.qkv.weight"), (1, 2, f"{beginning}layers.0.qkv.weight"),
    ]  # fmt: skip
    assert found[f"{beginning}projection"]["vision.project.weight"].transposed


def test_without_sections_no_name_in_a_file_is_anothers():
    assert KeyMap().owners(OURS) == {}


def test_own_names_are_those_of_the_last_layout():
    assert MAP.own_names().resolve(OURS)["vision.stem.weight"].name == "vision_tower.embed.patch.weight"


@pytest.mark.parametrize("name", ["vision.unknown.weight", "decoder.stem.weight", "vision.blocks.0.unknown.weight"])
def test_tensor_without_a_name_is_an_error(name):
    with pytest.raises(LookupError, match=f"no name for {name}"):
        MAP.resolve([*OURS, name])


def test_without_sections_names_are_ours():
    assert KeyMap().resolve(OURS) == {name: Key(name) for name in OURS}


@pytest.mark.parametrize(
    ("name", "ignored"), [("a.b.inv_freq", True), ("old.x", True), ("a.inv_freq.x", False), ("very.old.x", False)]
)
def test_whole_names_are_ignored(name, ignored):
    assert MAP.ignores(name) is ignored
    assert not KeyMap().ignores(name)


def test_state_is_written_under_their_names_and_in_their_form():
    state = {**random_state(), "vision.blocks.0.norm.weight": torch.randn(4)}
    theirs = MAP.to_theirs(dict(reversed(state.items())))  # the parts' order is the table's, not the state's
    q, k = (state[f"vision.blocks.0.attention.{part}.weight"] for part in "qk")
    assert theirs.keys() == {
        "model.vision.embed.patch.weight", "model.vision.layers.0.qkv.weight", "model.vision.projection",
        "model.vision.layers.0.ln.weight",
    }  # fmt: skip
    assert torch.equal(theirs["model.vision.layers.0.qkv.weight"], torch.cat((q, k)))
    assert torch.equal(theirs["model.vision.projection"], state["vision.project.weight"].T)


def test_state_roundtrips_through_their_form():
    state = random_state()
    theirs = MAP.to_theirs(state)
    for name, key in MAP.resolve(state, theirs).items():
        assert key.their_shape(tuple(state[name].shape)) == tuple(theirs[key.name].shape)
        assert torch.equal(key.to_ours(theirs[key.name], tuple(state[name].shape)), state[name])


def test_heads_are_stored_in_neighbouring_pairs_and_found_again():
    key, ours = Key("q", heads=2), torch.arange(8.0)[:, None]  # two heads of two pairs
    theirs = key.to_theirs([ours])
    assert theirs.flatten().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert torch.equal(key.to_ours(theirs, (8, 1)), ours)
    assert torch.equal(key.to_ours(theirs[:, 0], (8,)), ours[:, 0])  # a bias
    assert key.their_shape((8, 1)) == (8, 1)


def test_plus_one_is_added_and_taken_away_in_float32():
    key, ours = Key("norm", plus_one=True), torch.tensor([0.5, -0.25], dtype=torch.bfloat16)
    theirs = key.to_theirs([ours])
    assert theirs.tolist() == [1.5, 0.75]
    assert theirs.dtype == torch.float32
    assert key.to_ours(theirs, (2,)).tolist() == ours.tolist()
