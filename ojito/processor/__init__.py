"""Images and words to a `Batch`, and ids back to words. Start at `processor.py`."""

from ojito.processor.image_files import ImageError, TooManyPixels
from ojito.processor.processor import Processor
from ojito.processor.prompts import RowError, TooLongError, texts
from ojito.processor.tokenizers import Tokenizer

__all__ = ["ImageError", "Processor", "RowError", "Tokenizer", "TooLongError", "TooManyPixels", "texts"]
