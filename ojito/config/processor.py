"""Settings of a processor: images, vocabulary, and how a turn is written down."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from ojito.config.rules import entries, not_negative, positive
from ojito.settings import ConfigError


@dataclass(frozen=True)
class ImageConfig:
    """How an image becomes pixels: RGB, squares of the vision tower's size, then (x / 255 - mean) / std.

    Attributes:
        fit: One square: the image squashed, its middle cropped (CLIP), or padded with the mean colour. Or "tiles":
            scaled to `longest_side`, stretched to whole tiles and cut, with the whole image as one more square.
        longest_side: Of the image that is cut into tiles, pixels; 0 for every other `fit`.
        split: With tiling=idefics3, whether the image is cut at all, or only the whole of it is read.
        tiling: How tiles are made, with fit=tiles: step by step, each rounded to whole colours ("idefics3": Idefics3,
            SmolVLM); or at once, and the whole of the image from them, without rounding ("nanovlm").
        enlarge: With tiling=nanovlm, whether smaller images grow to `longest_side`, too, or to whole tiles only.
        resample: Filter for scaling the image.
        mean: Mean of each channel (red, green, blue), in 0..1, subtracted from the pixels.
        std: Standard deviation of each channel, in 0..1, by which the pixels are then divided.
        max_pixels: Images with more are refused before they are decoded. Decoding takes 4 to 8 bytes of memory for each
            pixel, of a WEBP 17; of a JPEG above 20 megapixels far less, unless it is progressive.
    """

    MOST_LONGEST_SIDE: ClassVar = 4096

    fit: Literal["squash", "crop", "pad", "tiles"] = "squash"
    longest_side: int = 0
    split: bool = True
    tiling: Literal["idefics3", "nanovlm"] = "idefics3"
    enlarge: bool = True
    resample: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    max_pixels: int = 100_000_000

    def __post_init__(self) -> None:
        positive(self, "max_pixels")
        if self.fit == "tiles" and not 0 < self.longest_side <= self.MOST_LONGEST_SIDE:
            problem = f"{self.longest_side} must lie between 1 and {self.MOST_LONGEST_SIDE} with fit=tiles"
            raise ConfigError("longest_side", problem, "use for example 2048")
        if self.fit != "tiles" and self.longest_side:
            raise ConfigError("longest_side", f"{self.longest_side} is for fit=tiles, not {self.fit}", "leave it at 0")
        if self.fit != "tiles" and self.tiling != "idefics3":
            raise ConfigError("tiling", f"{self.tiling} is for fit=tiles, not {self.fit}", "leave it at idefics3")
        if self.fit != "tiles" and not self.split:
            raise ConfigError("split", f"false is for fit=tiles, not {self.fit}", "leave it at true")
        if self.tiling != "idefics3" and not self.split:
            raise ConfigError("split", f"false is for tiling=idefics3, not {self.tiling}", "leave it at true")
        if self.tiling != "nanovlm" and not self.enlarge:
            raise ConfigError("enlarge", f"false is for tiling=nanovlm, not {self.tiling}", "leave it at true")
        if not all(0 <= mean <= 1 for mean in self.mean):
            raise ConfigError("mean", f"{list(self.mean)} must lie between 0 and 1", "divide means of 0..255 by 255")
        if not all(std > 0 for std in self.std):
            raise ConfigError("std", f"{list(self.std)} must be greater than 0 in every channel", "use for example 0.5")


@dataclass(frozen=True)
class TokenizerConfig:
    """Characters or byte-level BPE, learned from the training text, or any `tokenizer.json`.

    Attributes:
        kind: "bpe" and "characters" are learned from the training text; "file" reads `path`.
        vocab_size: The most entries that training may learn; 0 means the decoder's `vocab_size`.
        phrases: For kind=bpe: two neighbours that stand together at least this often become one token. Counted are
            all times that they do, as a share of the number of texts, and every prompt, answer and separator is a
            text: 0.02 is twice in a hundred. 0 means that no token goes beyond a word.
        path: The file for kind=file.
        bos: The token that begins a row; "" means the first of the usual names among the file's special tokens.
        has_bos: Whether there is a token that begins a row at all.
        eos: The tokens that end an answer: training writes the first, generation ends at any. () means the first of
            the usual names among the file's special tokens.
        eos_ids: The ids of more tokens that end an answer in generation, which may be ordinary words.
        pad: The token that fills rows to one length; "" means the first of the usual names, else `eos`.
        special: More tokens that `prompt` may write and nobody else can: typed, they are so many characters; decoded,
            nothing. Those that the file lacks are added to it. "<row_{1..6}_col_{1..6}>" is 36 of them.
        added: Tokens that every text may hold and that are never split. Written likewise, and added likewise
            (PaliGemma's "<loc{0000..1023}>").
    """

    kind: Literal["bpe", "characters", "file"] = "bpe"
    vocab_size: int = 0
    phrases: float = 0.0
    path: str = ""
    bos: str = ""
    has_bos: bool = True
    eos: tuple[str, ...] = ()
    eos_ids: tuple[int, ...] = ()
    pad: str = ""
    special: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        not_negative(self, vocab_size="the decoder's vocab_size")
        for name, token in entries(self, "eos", "special", "added"):
            if not token:
                raise ConfigError(name, "'' is no token", "leave it out")
        for name in ("eos", "eos_ids"):
            count = len(getattr(self, name))
            if count > 16:
                raise ConfigError(name, f"{count} tokens that end an answer are too many", "use 16 or fewer")
        if any(i < 0 for i in self.eos_ids):
            raise ConfigError("eos_ids", f"{list(self.eos_ids)} are not all ids of tokens", "use numbers from 0 on")
        if self.bos and not self.has_bos:
            raise ConfigError("bos", f"{self.bos!r} begins rows, and has_bos is false", "leave one of them out")
        if not 0 <= self.phrases < 1:
            raise ConfigError(
                "phrases", f"{self.phrases} is no share of the texts", "use for example 0.02, or 0 for none"
            )
        if self.phrases and self.kind != "bpe":
            raise ConfigError("phrases", f"{self.phrases} is for kind=bpe, not kind={self.kind}", "leave it at 0")
        if self.kind == "file" and not self.path:
            raise ConfigError("path", "'' names no file, and kind=file needs one", "give the path of a tokenizer.json")


@dataclass(frozen=True)
class PromptConfig:
    """How a turn is written down: user, question, separator, answer, end of answer.

    All but `system` and `caption` may contain the tokenizer's special tokens. In a system message, a question or an
    answer they are plain text.

    Attributes:
        image: "front" puts a row's images before all text; "inline" where its data say (`records.ImagePart`), else
            before the words of the first question.
        bos: Whether a begin-of-text token follows the images in front, or begins the row.
        user: What precedes a question.
        system: The system message of a dialogue that brings none; "" for none.
        user_with_system: What precedes the first question instead of `user` where there is a system message, which
            replaces `{system}`: "<|im_start|>system\\n{system}<|im_end|>\\n<|im_start|>user\\n". "" where the model
            knows no system messages.
        before_text: What precedes a question's words where no image stands before them in their turn (Idefics3 writes
            "User:<image>what?" and "User: what?").
        after_images: What follows the images that a question begins with.
        separator: What follows a question.
        before_answer: White space that precedes an answer, and is learned with it: of a byte-level vocabulary, " red"
            and not "red" is the word. Generated answers are given without it.
        after_answer: What follows the end of an answer.
        joined: Whether all of these and the question are tokenized as one text, as chat models are used to; otherwise
            each apart, so that a separator never merges into the question's last token.
        trim: Whether the white space around every text that is said is dropped, as Gemma's chat does.
        image_text: How an image is written; `<image>` stands for its visual tokens.
        image_number: What precedes each image of a row that has several, `{number}` counted from 0 (nanoVLM).
        tile: How a tile of an image that was split is written, `{row}` and `{column}` counted from 1.
        tile_row_end: What follows the tiles of one row.
        tiles_end: What follows all tiles.
        whole: Whether the whole of an image that was split, as `image_text`, comes after its tiles or before them; or
            whether there are tiles alone ("none"), of an image that was not split one (nanoVLM of July 2025).
        caption: The prompt that asks for a caption.
        turns: "chat": a turn reads the turns before it; "blind": each turn reads the image and itself alone, so
            that many questions about one image train in one row without seeing each other.
        answers: What a turn with several answers (reference captions) teaches: "one" of them, drawn anew every time;
            or "all", each as a blind turn of its own, for one look at the image.
        loss: Labels on the answers only, or on the questions too ("all").
        max_tokens: The most tokens of text in a row, image tokens not among them.
    """

    RENAMED: ClassVar = {"picture": "image_text", "picture_number": "image_number"}

    image: Literal["front", "inline"] = "front"
    bos: bool = True
    user: str = ""
    system: str = ""
    user_with_system: str = ""
    before_text: str = ""
    after_images: str = ""
    separator: str = "\n"
    before_answer: str = ""
    after_answer: str = ""
    joined: bool = False
    trim: bool = False
    image_text: str = "<image>"
    image_number: str = ""
    tile: str = "<image>"
    tile_row_end: str = ""
    tiles_end: str = ""
    whole: Literal["last", "first", "none"] = "last"
    caption: str = "caption"
    turns: Literal["chat", "blind"] = "chat"
    answers: Literal["one", "all"] = "one"
    loss: Literal["answers", "all"] = "answers"
    max_tokens: int = 512

    def __post_init__(self) -> None:
        positive(self, "max_tokens")
        if self.answers == "all" and self.turns != "blind":
            raise ConfigError(
                "answers",
                f"all lets answers read each other with turns={self.turns}",
                "set processor.prompt.turns=blind, or leave it at one",
            )
        for name, text in entries(self, "image_text", "tile"):
            if text.count("<image>") != 1:
                raise ConfigError(
                    name, f"{text!r} must contain <image> exactly once", "write it where the visual tokens belong"
                )
        if self.user_with_system and self.user_with_system.count("{system}") != 1:
            raise ConfigError(
                "user_with_system",
                f"{self.user_with_system!r} must contain {{system}} exactly once",
                "write it where the system message belongs",
            )
        if self.system and not self.user_with_system:
            raise ConfigError(
                "system",
                f"{self.system!r} has no place in this prompt",
                "set processor.prompt.user_with_system, for example to '{system}\\n'",
            )
        if self.before_answer.strip():
            raise ConfigError(
                "before_answer", f"{self.before_answer!r} is more than white space", "put words into separator"
            )


@dataclass(frozen=True)
class ProcessorConfig:
    """Images and words to tensors and back."""

    image: ImageConfig = field(default_factory=ImageConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
