"""How the milestone that captions is checked."""

import os
import random
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from PIL import Image

import ojito
from ojito.config import DecoderConfig, ModelConfig, ViTConfig
from ojito.data.scenes import caption, draw_things, paint
from ojito.generate import GenerateOptions, generate
from ojito.learn import Case, Exercise, Milestone, Question
from ojito.model import VLM
from ojito.records import IGNORE, IMAGE, Batch
from ojito.threads import keeping_threads

QUESTION = Question(
    "A PaliGemma-3B with a cache writes an answer; its decoder reads one new token in each step. By mistake, the eye "
    "encodes the image anew in each step. It has 400 million parameters and reads 256 patches; the decoder has 2.5 "
    "billion. About how much of a step's work is the eye's?",
    {"a": "a seventh: 0.4 of 2.9 billion parameters", "b": "a half", "c": "nearly all of it: 97%"},
    "c",
    "Work is parameters times positions: each position goes through all of them. The eye has 0.4 billion times 256, about "
    "100 billion products, the decoder 2.5 billion times 1. (On a GPU the decoder's step takes longer than that says, since "
    "it waits for its weights to come from memory; the mistake stays expensive.)",
)

# ------------------------------------------------------------------------------------------------- the library's answer

NAMES = {
    "attention_norm": "norm1", "mlp_norm": "norm2", "stem": "patch", "connector.project": "connector",
    "attention.": "", "mlp.": "", "blocks.": "layers.",
}  # fmt: skip


def plain(name):
    """The lessons' name for a weight of the library's model."""
    module, _, kind = name.rpartition(".")
    for old, new in NAMES.items():
        module = module.replace(old, new)
    return module + "_bias" * (kind == "bias")


def plain_weights(model):
    """The weights of the library's model by the lessons' names."""
    found = {plain(name): weight.detach() for name, weight in model.state_dict().items()}
    return {**found, "vision.patch": found["vision.patch"].flatten(1)}


def plain_config(model, image_token, bos, eos):
    """What the lessons' functions need to know of the library's model."""
    v, d = model.vision, model.decoder
    return {
        "vision": {
            "width": v.width, "mlp": v.mlp_dim, "layers": v.layers, "heads": v.heads, "size": v.patch_size,
            "image_size": v.image_size, "eps": v.norm_eps,
        },
        "decoder": {
            "vocabulary": d.vocab_size, "width": d.width, "mlp": d.mlp_dim, "layers": d.layers, "heads": d.heads,
            "kv_heads": d.kv_heads, "head_size": d.head_dim, "theta": d.rope_theta, "eps": d.norm_eps,
        },
        "image_token": image_token, "bos": bos, "eos": eos,
    }  # fmt: skip


def library_model(config, weights=None):
    """The library's PaliGemma of these sizes, with these weights, or with random ones."""
    v, d = config["vision"], config["decoder"]
    vision = ViTConfig(
        image_size=v["image_size"], patch_size=v["size"], width=v["width"], layers=v["layers"], heads=v["heads"],
        mlp_dim=v["mlp"], activation="gelu_tanh", norm_eps=v["eps"],
    )  # fmt: skip
    decoder = DecoderConfig(
        vocab_size=d["vocabulary"], width=d["width"], layers=d["layers"], heads=d["heads"], kv_heads=d["kv_heads"],
        head_dim=d["head_size"], mlp_dim=d["mlp"], activation="gelu_tanh", norm="rms_plus_one", norm_eps=d["eps"],
        rope_theta=d["theta"], scale_embeddings=True, mask="prefix",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = VLM(ModelConfig(vision=vision, decoder=decoder)).requires_grad_(False).eval()
    if weights is not None:
        model.load_state_dict({name: weights[plain(name)].view(one.shape) for name, one in model.state_dict().items()})
    return model


def library_batch(config, ids, prefix_lengths, **images):
    """The library's batch of rows without padding."""
    places = torch.arange(ids.shape[1]).expand_as(ids)
    return Batch(
        tokens=torch.where(ids == config["image_token"], IMAGE, ids), positions=places, segments=torch.zeros_like(ids),
        prefix=places < prefix_lengths[:, None], targets=torch.full_like(ids, IGNORE), **images,
    )  # fmt: skip


def reference_see(images, weights, config, parts):
    return library_model(config, weights).encode(images)


def reference_read(visual, ids, prefix_lengths, weights, config, parts):
    return library_model(config, weights)(library_batch(config, ids, prefix_lengths, visual=visual))


def reference_answer(image, question, separator, steps, weights, config, parts):
    model = library_model(config, weights)
    prompt = [config["image_token"]] * model.config.image_tokens + [config["bos"], *question, *separator]
    ids, images = torch.tensor([prompt]), (image / 255 - 0.5).permute(2, 0, 1)[None] / 0.5
    batch = library_batch(config, ids, torch.tensor([len(prompt)]), images=images)
    (found,) = generate(model, batch, GenerateOptions(max_new_tokens=steps), eos=config["eos"])
    return [one for one in found.tokens if one != config["eos"]]


# ---------------------------------------------------------------------------------------------------------------- cases

SIZES = {
    "vision": {"width": 6, "mlp": 10, "layers": 2, "heads": 2, "size": 2, "image_size": 6, "eps": 1e-6},
    "decoder": {
        "vocabulary": 17, "width": 8, "mlp": 12, "layers": 2, "heads": 4, "kv_heads": 2, "head_size": 6,
        "theta": 100.0, "eps": 1e-6,
    },
    "image_token": 16, "bos": 2, "eos": 1,
}  # fmt: skip


def random_weights(config, seed):
    """Random weights that write many different tokens: what the layers add outweighs what came in."""
    made = torch.Generator().manual_seed(seed)
    weights = {
        name: torch.randn(weight.shape, generator=made) / (weight.shape[1] ** 0.5 if weight.ndim > 1 else 2)
        for name, weight in plain_weights(library_model(config)).items()
    }
    for name in weights:
        if name.startswith("decoder."):
            weights[name] *= {"embedding": 0.2, "out": 3.0, "down": 3.0, "q": 2.0}.get(name.split(".")[-1], 1.0)
    weights["decoder.embedding"][config["image_token"]] = 0  # so that it is never the likeliest
    return weights


def see_cases():
    made = torch.Generator().manual_seed(0)
    inputs = {"images": torch.randn(2, 3, 6, 6, generator=made), "weights": random_weights(SIZES, 0), "config": SIZES}
    yield Case("two images", inputs)
    deeper = {**SIZES, "vision": {**SIZES["vision"], "layers": 3, "heads": 3, "size": 3}}
    inputs = {"images": torch.randn(1, 3, 6, 6, generator=made), "weights": random_weights(deeper, 1), "config": deeper}
    yield Case("three layers, four patches", inputs)


def read_cases():
    made = torch.Generator().manual_seed(1)
    for name, texts, prefix_lengths in (
        ("one row", [[2, 5, 7, 3, 9, 9, 4]], [13]),
        ("questions of one and three tokens", [[2, 5, 3, 8, 7, 6, 4, 5], [2, 9, 11, 12, 3, 6, 5, 10]], [12, 14]),
        ("nothing but prefixes", [[2, 5, 3], [2, 7, 3]], [12, 12]),
    ):
        ids = torch.tensor([[16] * 9 + text for text in texts])
        visual = torch.randn(len(texts), 9, 8, generator=made)
        inputs = {"visual": visual, "ids": ids, "prefix_lengths": torch.tensor(prefix_lengths)}
        yield Case(name, {**inputs, "weights": random_weights(SIZES, 2), "config": SIZES})


def answer_cases():
    made = torch.Generator().manual_seed(2)
    for name, question, separator, steps, seed, eos in (
        ("a question of two tokens", [5, 7], [3], 6, 3, 1),
        ("no question, and two tokens in the separator", [], [3, 4], 5, 4, 1),
        ("an answer that ends before its last step", [9, 11, 6], [3], 8, 45, 1),
    ):
        image = torch.randint(256, (6, 6, 3), generator=made, dtype=torch.uint8)
        inputs = {"image": image, "question": question, "separator": separator, "steps": steps}
        yield Case(name, {**inputs, "weights": random_weights(SIZES, seed), "config": {**SIZES, "eos": eos}})


def use_answer(solution, inputs):
    """The answer, and how often the image was encoded for it."""
    encoded = []

    def encode(*args, **kwargs):
        encoded.append(1)
        return inputs["parts"]["milestone_encode"].encode(*args, **kwargs)

    parts = {**inputs["parts"], "milestone_encode": SimpleNamespace(encode=encode)}
    ids = solution(**{**inputs, "parts": parts})
    return {"answer": ids, "times the image was encoded": max(1, len(encoded))}


# ----------------------------------------------------------------------------------------------------------------- show

RECIPE = (
    "model.vision.stem=patch", "model.vision.stem_widths=[]", "model.vision.layers=2", "model.vision.mlp_dim=256",
    "model.vision.activation=gelu_tanh", "model.decoder.mlp=gated", "model.decoder.activation=gelu_tanh",
    "model.decoder.mlp_dim=256", "model.decoder.kv_heads=1", "model.decoder.norm=rms_plus_one",
    "model.decoder.scale_embeddings=true", "model.decoder.mask=prefix", "processor.prompt.turns=chat",
    "processor.prompt.answers=one", "processor.prompt.bos=true", "processor.prompt.separator=\"\\n\"",
    "processor.prompt.caption=caption en", "data.scenes.questions=1", "data.scenes.max_objects=2", "train.batch_size=32",
)  # fmt: skip
SECONDS = "OJITO_LEARN_SECONDS"  # another time to train, for tests
QUESTION_TEXT = "caption en"


@keeping_threads()
def show(parts, say):
    """Train a small PaliGemma with the library, and caption new scenes with the learner's parts."""
    folder = Path(parts["own"].__file__).with_name("trained")
    train(folder, float(os.environ.get(SECONDS, 60)), say)
    torch.set_num_threads(1)  # for matrices as small as these, threads wait for each other
    pipe = ojito.load(folder, device="cpu", dtype="float32")
    tokenizer, model = pipe.processor.tokenizer, pipe.model
    weights = plain_weights(model)
    image_token = model.config.decoder.vocab_size - 1  # the tokenizer has fewer entries
    config = plain_config(model.config, image_token, tokenizer.bos, tokenizer.ends[0])
    question, separator = list(tokenizer.encode(QUESTION_TEXT)), list(tokenizer.encode("\n"))
    rng, right, agreeing, words, written, images = random.Random("three new scenes"), 0, 0, 0, 0, []
    for _ in range(3):
        things = draw_things(rng, 2)
        image = paint(things, rng)
        images.append(image)
        pixels = torch.tensor(list(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)
        began = time.perf_counter()
        ids = parts["own"].answer(pixels, question, separator, 24, weights, config, parts)
        yours, took = tokenizer.decode(ids), time.perf_counter() - began
        library, there = pipe.caption(image, max_new_tokens=24).text, caption(things)
        say(f"\nthere is   {there}\nyours      {yours}    ({len(ids)} tokens in {1000 * took:.0f} ms)")
        say(f"library's  {library}")
        right += agree(yours, there)
        agreeing += agree(yours, library)
        words, written = words + len(there.split()), written + len(library.split())
    say(f"\n{right} of {words} words are what is there; {agreeing} of the library's {written} words are yours, too")
    say("(a token of this vocabulary may be several words, or a word and a comma)")
    picture = folder.with_name("scenes.png")
    side_by_side(images).save(picture)
    say(f"the three scenes, from left to right: {picture}")
    text = drawn(parts, pixels, question, separator, weights, config, tokenizer)
    say(f"drawn at temperature 1 with lesson 12, of the third scene: {' '.join(text.split())}")


def train(folder, seconds, say):
    """Train the library's model, unless it lies there already, trained for at least so long."""
    if (folder / "config.json").exists():
        before = 60 * ojito.load(folder, device="cpu").config.train.minutes
        if before > seconds - 0.01:
            say(f"\n{folder} has a small PaliGemma, trained before ({before:g} s); remove it to train anew")
            return
    say(f"\nthe library trains a small PaliGemma on drawn scenes for {seconds:g} s ...")
    recipe, told = ojito.preset("tiny", [*RECIPE, f"train.minutes={seconds / 60}"]), [0.0]

    def progress(line):
        if line["seconds"] - told[0] > seconds / 7:
            told[0] = line["seconds"]
            say(f"{line['seconds']:5.0f} s   step {line['step']:>4}   loss {line['loss']:.2f} nats a token")

    made = ojito.train(recipe, "scenes", out=folder, quiet=True, evaluate=False, on_log=progress, force=True)
    say(f"{made.history.steps} steps, {made.history.samples:,} images; it is kept in {folder},")
    say(f"and captions other images, too: ojito caption {folder} IMAGE")


def side_by_side(images):
    """Scenes in one image, four times as large."""
    side = 4 * images[0].width
    whole = Image.new("RGB", ((side + 8) * len(images) - 8, side), "white")
    for number, image in enumerate(images):
        whole.paste(image.resize((side, side), Image.Resampling.NEAREST), (number * (side + 8), 0))
    return whole


def agree(one, other):
    """Words that two captions have in common, place by place."""
    return sum(a == b for a, b in zip(one.replace(",", "").split(), other.replace(",", "").split(), strict=False))


def drawn(parts, pixels, question, separator, weights, config, tokenizer):
    """A caption of the last scene whose tokens are drawn, with the learner's sampling."""
    own, half = parts["own"], torch.full((3,), 0.5)
    visual = own.see(parts["02_patches"].to_pixels(pixels, half, half)[None], weights, config, parts)
    prompt = parts["06_prompt"].prompt(config["image_token"], visual.shape[1], config["bos"], question, separator)
    generator, ids = torch.Generator().manual_seed(0), torch.tensor([prompt])
    while ids.shape[1] < len(prompt) + 24:
        logits = own.read(visual, ids, torch.tensor([len(prompt)]), weights, config, parts)[:, -1]
        token = parts["12_sampling"].sample(logits, 1.0, 0.95, generator)
        if int(token) == config["eos"]:
            break
        ids = torch.cat((ids, token[:, None]), dim=1)
    return tokenizer.decode(ids[0, len(prompt) :].tolist())


MILESTONE = Milestone(
    needs=(
        "02_patches", "03_attention", "04_vit_block", "milestone_encode", "06_prompt", "07_connector", "08_rope",
        "09_gemma_block", "milestone_decode", "10_masks", "11_cache", "12_sampling",
    ),
    show=show,
)  # fmt: skip

EXERCISES = [
    Exercise(
        "see",
        lambda: list(see_cases()),
        hints=[
            "Lesson 7 has what brings patches to the decoder's width.",
            'parts["07_connector"].project(patches, ...).',
        ],
        reference=reference_see,
        tolerance=1e-4,
    ),
    Exercise(
        "read",
        lambda: list(read_cases()),
        hints=[
            'own["embedding"][ids] looks up all rows at once. Then Gemma\'s factor, which is for text alone.',
            'parts["07_connector"].merge takes embeddings, visual tokens and where they belong.',
            "Lesson 10's prefix(length, prefix_lengths) is (B, T, T); `[:, None]` puts an axis of size 1 in its second "
            "place.",
        ],
        reference=reference_read,
        tolerance=1e-4,
    ),
    Exercise(
        "answer",
        lambda: list(answer_cases()),
        hints=[
            "`see` takes a batch of images: pixels[None] is (1, 3, h, w). Its result has P in its second axis.",
            'parts["06_prompt"].prompt(image_token, count, bos, question, separator): the ids are in `config`.',
            "The prefix is the whole prompt, as a tensor of one number. `torch.cat(..., dim=1)` joins what `so_far` holds.",
        ],
        reference=reference_answer,
        use=use_answer,
    ),
]
