"""How the last milestone is checked."""

import ast
import atexit
import functools
import hashlib
import json
import os
import random
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from torch import nn

import ojito
from ojito.data.scenes import COLOURS, KINDS, PLACES, caption, draw_things, paint
from ojito.generate import GenerateOptions, generate
from ojito.learn import Case, Exercise, Milestone, Question
from ojito.processor.prompts import Row
from ojito.records import IGNORE, IMAGE, Batch, Sample, Turn
from ojito.threads import keeping_threads

QUESTION = Question(
    "Rows of a batch are padded on the right, and their mask is lesson 10's `prefix`, which knows nothing of padding. What "
    "happens if you train like this?",
    {
        "a": "nothing that matters: the gradients are the same, to the last rounding",
        "b": "short rows learn to read padding, and answer worse than long ones",
        "c": "the loss is NaN wherever a row has padding",
    },
    "a",
    "Padding stands behind everything else, outside the prefix, and an answer looks back alone: no position that is "
    "learned from ever sees it. What padding itself computes is thrown away with its labels. Padded on the left, as rows "
    "are to answer side by side, it would stand inside the prefix, and you would need `with_padding`.",
)

# ------------------------------------------------------------------------------------------------- a model and a folder

WORDS = sorted({word for text in (*COLOURS, *KINDS, *PLACES, "caption en") for word in text.split()})
CAPTION = "caption en"
RECIPE = (
    "model.vision.stem=patch", "model.vision.stem_widths=[]", "model.vision.activation=gelu_tanh",
    "model.decoder.mlp=gated", "model.decoder.activation=gelu_tanh", "model.decoder.kv_heads=1",
    "model.decoder.norm=rms_plus_one", "model.decoder.scale_embeddings=true", "model.decoder.mask=prefix",
    "model.decoder.vocab_size=1280", "processor.tokenizer.kind=file", "processor.tokenizer.phrases=0",
    "processor.prompt.turns=chat", "processor.prompt.answers=one", "processor.prompt.bos=true",
    'processor.prompt.separator="\\n"', "processor.prompt.caption=caption en",
)  # fmt: skip
SMALL = (
    "model.vision.width=24", "model.vision.layers=1", "model.vision.heads=2", "model.vision.mlp_dim=20",
    "model.decoder.width=32", "model.decoder.layers=2", "model.decoder.heads=4", "model.decoder.mlp_dim=28",
)  # fmt: skip
SHOWN = ("model.vision.layers=2", "model.vision.mlp_dim=256", "model.decoder.layers=2", "model.decoder.mlp_dim=256")


def write_tokenizer(path):
    """A vocabulary of the words of scenes, each with and without the space before it."""
    vocabulary = ["<pad>", "<eos>", "<bos>", "<unk>", "\n", ",", *WORDS, *(f" {word}" for word in WORDS)]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n|,| ?[a-z]+"), "isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens(vocabulary[:4])
    made.save(str(path))


def pipeline(folder, sizes):
    """The library's PaliGemma, with random weights and that vocabulary."""
    write_tokenizer(folder / "words.json")
    recipe = ojito.preset("tiny", [*RECIPE, *sizes, f"processor.tokenizer.path={folder / 'words.json'}"])
    model, processor = ojito.prepare(recipe, ojito.open_data(recipe), "cpu")
    return ojito.Pipeline(model, processor, recipe)


@functools.cache
def small(seed):
    """The folder of a small model with random weights, in the public layout, and the library's model of it."""
    kept = tempfile.TemporaryDirectory()
    atexit.register(kept.cleanup)
    with torch.random.fork_rng(devices=[]):
        pipe = pipeline(Path(kept.name), SMALL)
        made = torch.Generator().manual_seed(seed)
        for name, weight in pipe.model.named_parameters():
            size = weight.shape[1] ** -0.5 if weight.ndim > 1 else 0.5
            # Not as they begin: zeros in norms and biases would hide mistakes. What the layers add is to outweigh what
            # comes in, or a model with a tied head writes one word over and over.
            kind = name.split(".")[-2]
            size *= {"embedding": 0.2, "out": 3.0, "down": 3.0, "q": 2.0}.get(kind, 1.0) if "decoder" in name else 1.0
            weight.data = torch.randn(weight.shape, generator=made) * size
        pipe.model.decoder.embedding.weight.data[pipe.processor.tokenizer.size :] = 0  # no words: never the likeliest
        pipe.export(Path(kept.name) / "paligemma")
    folder = Path(kept.name) / "paligemma"
    return folder, ojito.load(folder, device="cpu", dtype="float32")


@functools.cache
def small_weights():
    """The weights of `small(0)`, by the lessons' names: copies, since the model will be trained for a step."""
    return {name: weight.clone() for name, weight in plain_weights(small(0)[1].model).items()}


def ids_of(pipe, text):
    return list(pipe.processor.tokenizer.encode(text))


# ------------------------------------------------------------------------------------------------- the library's answer


def reference_ask(folder, image, question, separator, steps, parts):
    pipe = ojito.load(folder, device="cpu", dtype="float32")
    tokenizer = pipe.processor.tokenizer
    batch = pipe.processor([Sample(turns=(Turn(tokenizer.decode(question)),), images=[as_image(image)])])
    (found,) = generate(pipe.model, batch, GenerateOptions(max_new_tokens=steps), eos=tokenizer.ends)
    return [one for one in found.tokens if one not in tokenizer.ends]


def as_image(pixels):
    return Image.fromarray(pixels.numpy())


def reference_collate(questions, answers, separator, count, config, parts):
    rows, lengths = [], []
    for question, answer in zip(questions, answers, strict=True):
        row = Row()
        prompt = [config["image_token"]] * count + [config["bos"], *question, *separator]
        start = row.add(prompt, segment=0, start=0, prefix=True, learn=False)
        row.add([*answer, config["eos"]], segment=0, start=start, prefix=False, learn=True)
        rows.append(row)
        lengths.append(len(prompt))
    longest = max(len(row.tokens) for row in rows)
    ids = [row.tokens + [0] * (longest - len(row.tokens)) for row in rows]
    labels = [row.targets + [IGNORE] * (longest - len(row.targets)) for row in rows]
    return torch.tensor(ids), torch.tensor(labels), torch.tensor(lengths)


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


def sizes_of(model, tokenizer, image_token):
    """What the lessons' functions need to know of the library's model."""
    v, d = model.config.vision, model.config.decoder
    return {
        "vision": {
            "width": v.width, "mlp": v.mlp_dim, "layers": v.layers, "heads": v.heads, "size": v.patch_size,
            "image_size": v.image_size, "eps": v.norm_eps,
        },
        "decoder": {
            "vocabulary": d.vocab_size, "width": d.width, "mlp": d.mlp_dim, "layers": d.layers, "heads": d.heads,
            "kv_heads": d.kv_heads, "head_size": d.head_dim, "theta": d.rope_theta, "eps": d.norm_eps,
        },
        "image_token": image_token, "bos": tokenizer.bos, "eos": tokenizer.ends[0],
    }  # fmt: skip


def plain_weights(model):
    """The weights of the library's model by the lessons' names."""
    found = {plain(name): weight.detach() for name, weight in model.state_dict().items()}
    return {**found, "vision.patch": found["vision.patch"].flatten(1)}


class Theirs:
    """The library's model, used as the learner's is."""

    def __init__(self, weights, config, parts):
        _, pipe = small(0)
        self.model, self.config = pipe.model, config
        state = {name: weights[plain(name)].view(one.shape) for name, one in self.model.state_dict().items()}
        self.model.load_state_dict(state)

    def parameters(self):
        return self.model.parameters()

    def weights(self):
        found = {plain(name): weight for name, weight in self.model.named_parameters()}
        return found

    def __call__(self, inputs):
        images, ids, lengths = inputs
        places = torch.arange(ids.shape[1]).expand_as(ids)
        batch = Batch(
            tokens=torch.where(ids == self.config["image_token"], IMAGE, ids), positions=places,
            segments=torch.zeros_like(ids), prefix=places < lengths[:, None], targets=torch.full_like(ids, IGNORE),
            images=images,
        )  # fmt: skip
        return self.model(batch)


# ---------------------------------------------------------------------------------------------------------------- cases


def ask_cases():
    made = torch.Generator().manual_seed(0)
    for name, seed, question, steps in (
        ("a folder with random weights", 0, CAPTION, 5),
        ("another one, and a longer question", 1, "caption red ball left", 8),
    ):
        folder, pipe = small(seed)
        image = torch.randint(256, (48, 48, 3), generator=made, dtype=torch.uint8)
        inputs = {"image": image, "question": ids_of(pipe, question), "separator": ids_of(pipe, "\n"), "steps": steps}
        yield Case(name, {"folder": folder, **inputs})


def collate_cases():
    config = {"image_token": 60, "bos": 2, "eos": 1}
    inputs = {"separator": [4], "count": 3, "config": config}
    yield Case("answers of one and three tokens", {**inputs, "questions": [[7, 8]] * 2, "answers": [[9], [10, 11, 12]]})
    questions, answers = [[7], [8, 9, 13], []], [[9, 10], [12], [14, 9, 7]]
    yield Case("questions of unequal length", {**inputs, "count": 2, "questions": questions, "answers": answers})


def model_cases():
    made = torch.Generator().manual_seed(3)
    _, pipe = small(0)
    config = sizes_of(pipe.model, pipe.processor.tokenizer, 60)
    ids = [[60] * 9 + [2, 7, 8, 4, 20, 21, 1, 0, 0], [60] * 9 + [2, 7, 4, 22, 23, 24, 25, 26, 1]]
    labels = [[-100] * 12 + [20, 21, 1, -100, -100, -100], [-100] * 11 + [22, 23, 24, 25, 26, 1, -100]]
    inputs = (torch.randn(2, 3, 48, 48, generator=made), torch.tensor(ids), torch.tensor([13, 12]))
    weights = small_weights()
    given = {"weights": weights, "config": config, "inputs": inputs, "labels": torch.tensor(labels)}
    yield Case("two rows, one of them with padding", given)


def use_model(solution, inputs):
    """The logits, and how far one step of gradient descent moves every weight."""
    model = solution(inputs["weights"], inputs["config"], inputs.get("parts"))
    before = {name: weight.detach().clone() for name, weight in model.weights().items()}
    given = {name: weight.clone() for name, weight in inputs["weights"].items()}
    logits = model(inputs["inputs"])
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.1) if parameters else SimpleNamespace(step=lambda: None)
    labels = inputs["labels"]
    nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE).backward()
    optimizer.step()
    moved = {name: weight.detach().flatten() - before[name].flatten() for name, weight in model.weights().items()}
    kept = all(weight.equal(given[name]) for name, weight in inputs["weights"].items())
    return {
        "logits": logits.detach(),
        "how far the weights move in a step": dict(sorted(moved.items())),
        "the weights that were given": "as they were" if kept else "changed by training",
    }


# ----------------------------------------------------------------------------------------------------------------- show

SECONDS = "OJITO_LEARN_SECONDS"  # trains for so many seconds of processor time, and not for so many steps
STEPS, BATCH, RATE, HELD_OUT = 1500, 32, 1.5e-3, 64
LEAST = 0.01  # a gap that would be worth having, as in lesson 15


@keeping_threads()
def show(parts, say):
    """Train the learner's PaliGemma with the learner's step, and see whether it looks."""
    torch.set_num_threads(1)  # for matrices as small as these, threads wait for each other
    seconds = float(os.environ[SECONDS]) if SECONDS in os.environ else None
    folder = Path(parts["own"].__file__).with_name("paligemma")
    if not (folder / "config.json").exists():
        folder.mkdir(exist_ok=True)
        with torch.random.fork_rng(devices=[]):
            pipeline(folder, SHOWN).export(folder)
    weights, config = parts["14_paligemma_layout"].load(folder)
    tokenizer = ojito.load(folder, device="cpu", dtype="float32").processor.tokenizer
    trained, code = folder / "trained" / "model.safetensors", code_of(parts)
    before = trained_before(trained, code, seconds, say)
    model = parts["own"].PaliGemma(weights if before is None else before, config, parts)
    if before is None:
        count, long = sum(weight.numel() for weight in weights.values()), f"{STEPS:,} steps"
        long = long if seconds is None else f"{seconds:g} s"
        say(f"\n{count:,} random numbers out of {folder}; your functions and your step train them for {long}")
        how = learn(model, parts, tokenizer, seconds, say)
        trained.parent.mkdir(exist_ok=True)
        save_file({name: weight.detach().contiguous() for name, weight in model.weights().items()}, trained)
        trained.with_name("how.json").write_text(json.dumps({"code": code, **how}), encoding="utf-8")
        say(f"what they became is in {trained}")
    with torch.no_grad():
        caption_three(model, parts, tokenizer, folder.with_name("scenes.png"), say)
        look(model, parts, tokenizer, say)


def code_of(parts):
    """What the learner wrote, without comments and predictions: what other code has trained is trained anew."""
    told = []
    for name in sorted(parts):
        nodes = ast.parse(Path(parts[name].__file__).read_text(encoding="utf-8")).body
        told += [name, *(ast.dump(node) for node in nodes if not ast.unparse(node).startswith("PREDICTION"))]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def trained_before(trained, code, seconds, say):
    """The weights that the same functions were trained to, for as long as is wanted; None where there are none."""
    if not trained.exists() or not trained.with_name("how.json").exists():
        return None
    how = json.loads(trained.with_name("how.json").read_text(encoding="utf-8"))
    if how["code"] != code:
        say("\nyour functions have changed since your PaliGemma was trained: it is trained anew")
        return None
    if how["steps"] < STEPS if seconds is None else how["seconds"] < seconds:
        return None
    say(
        f"\nyour PaliGemma, as it was trained before, in {how['steps']:,} steps: {trained.parent} (remove it to train anew)"
    )
    return load_file(trained)


def scenes(rng, count):
    """New scenes: pixels (n, 48, 48, 3) uint8, and captions."""
    pixels, captions = [], []
    for _ in range(count):
        things = draw_things(rng, rng.randint(1, 2))
        image = paint(things, rng)
        pixels.append(torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(48, 48, 3))
        captions.append(caption(things))
    return pixels, captions


def batch_of(pixels, captions, parts, tokenizer, config):
    """Inputs of the model, and labels."""
    half = torch.full((3,), 0.5)
    images = torch.stack([parts["02_patches"].to_pixels(one, half, half) for one in pixels])
    answers = [list(tokenizer.encode(text)) for text in captions]
    questions, separator = [list(tokenizer.encode(CAPTION))] * len(answers), list(tokenizer.encode("\n"))
    ids, labels, lengths = parts["own"].collate(questions, answers, separator, 9, config, parts)
    return (images, ids, lengths), labels


def learn(model, parts, tokenizer, seconds, say):
    """Train for STEPS, or for so many seconds of processor time, with a line of progress now and then."""
    step, rng = parts["13_training_step"].train_step, random.Random("train")
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.01)
    began, told, number, done, passed = time.process_time(), 0.0, 0, 0.0, 0.0
    while done < 1:
        for group in optimizer.param_groups:  # up in the first steps, down in the last third
            group["lr"] = RATE * min(1.0, (number + 1) / 50, 3 * (1 - done) + 0.02)
        batch = batch_of(*scenes(rng, BATCH), parts, tokenizer, model.config)
        loss, norm = step(model, optimizer, [batch], 1.0)
        number, passed = number + 1, time.process_time() - began
        done = number / STEPS if seconds is None else passed / seconds
        if done - told >= 1 / 15 or number == 1:
            told = done
            of = f"of {STEPS}" if seconds is None else ""
            say(f"step {number:>4} {of}   loss {loss:.2f} nats a token   gradient {norm:.2f}   ({passed:.0f} s)")
    say(f"{number:,} steps, {number * BATCH:,} images")
    return {"steps": number, "seconds": passed}


def caption_three(model, parts, tokenizer, picture, say):
    """Caption scenes that were never seen."""
    (pixels_of_all, captions), right, words = scenes(random.Random("held out"), 3), 0, 0
    for pixels, there in zip(pixels_of_all, captions, strict=True):
        question, separator = list(tokenizer.encode(CAPTION)), list(tokenizer.encode("\n"))
        answer = parts["milestone_caption"].answer
        ids = answer(pixels, question, separator, 24, model.weights(), model.config, parts)
        yours = tokenizer.decode(ids)
        say(f"\nthere is   {there}\nyours      {yours}")
        pairs = zip(there.replace(",", "").split(), yours.replace(",", "").split(), strict=False)
        right, words = right + sum(one == other for one, other in pairs), words + len(there.split())
    side_by_side(pixels_of_all).save(picture)
    say(f"\n{right} of {words} words are what is there; the three scenes, from left to right: {picture}")


def side_by_side(scenes):
    """Scenes in one image, four times as large."""
    edge = torch.full((48, 2, 3), 255, dtype=torch.uint8)
    whole = torch.cat([part for scene in scenes for part in (scene, edge)][:-1], dim=1)
    return as_image(whole.repeat_interleave(4, 0).repeat_interleave(4, 1))


def shown(nats):
    """A number with two places, and no -0.00."""
    return f"{round(float(nats), 2) + 0.0:.2f}"


def look(model, parts, tokenizer, say):
    """The grounding gap of lesson 15: loss with the image of another, less that with the right one."""
    looking, token_loss = parts["15_does_it_look"], parts["13_training_step"].token_loss
    (images, ids, lengths), labels = batch_of(*scenes(random.Random("gap"), HELD_OUT), parts, tokenizer, model.config)

    def losses(images):
        logits = model((images, ids, lengths))
        return torch.stack([token_loss(logits[i : i + 1], labels[i : i + 1]) for i in range(len(ids))])

    right, exchanged = losses(images), losses(images[looking.exchange(len(ids), 0)])
    gap, low, high = looking.grounding_gap(right, exchanged)
    unclear = "nobody can tell yet whether it looks"
    verdict = "it looks" if low > 0 else "it does not look" if high < LEAST else unclear
    say(
        f"loss on {HELD_OUT} new scenes {right.mean():.2f}; with the image of another {exchanged.mean():.2f} nats a token"
    )
    say(f"grounding gap {shown(gap)}, with 95% between {shown(low)} and {shown(high)}: {verdict}")
    if low > 0:
        say(
            "(that says that captions depend on the image, not that every word is right; what kind of thing it is, is learned "
            f"last. To train longer: {SECONDS}=600 ojito learn check)"
        )


MILESTONE = Milestone(
    needs=(
        "02_patches", "03_attention", "04_vit_block", "milestone_encode", "06_prompt", "07_connector", "08_rope",
        "09_gemma_block", "milestone_decode", "10_masks", "11_cache", "12_sampling", "milestone_caption",
        "13_training_step", "14_paligemma_layout", "15_does_it_look",
    ),
    show=show,
)  # fmt: skip

EXERCISES = [
    Exercise(
        "ask",
        lambda: list(ask_cases()),
        hints=[
            'parts["14_paligemma_layout"].load(folder) returns weights and config.',
            "Then milestone_caption's `answer`.",
        ],
        reference=reference_ask,
    ),
    Exercise(
        "collate",
        lambda: list(collate_cases()),
        hints=[
            "`row` gives ids and labels of equal length, a label at the place of its id. Here it is to stand one earlier.",
            "labels[1:] is one short: IGNORE at its end. Fill labels as the line above fills ids, but with rows.IGNORE.",
        ],
        reference=reference_collate,
        returns=("the ids", "the labels", "the lengths of the prefixes"),
    ),
    Exercise(
        "PaliGemma",
        lambda: list(model_cases()),
        hints=[
            "nn.ParameterList takes an iterable: for each of weights.values() an nn.Parameter of a copy of it.",
            "own.see and own.read are those that you wrote; the weights are the parameters, by name.",
        ],
        reference=Theirs,
        use=use_model,
        tolerance=1e-4,
    ),
]
