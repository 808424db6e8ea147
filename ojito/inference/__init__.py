"""A model made ready to answer: its weights packed for the processor, or quantized before that.

    weights.py     the two quantized forms of a matrix
    quantize.py    modules that hold such weights in a model's tree
    kernels.py     ways to multiply by a matrix, float or quantized
    products.py    whether a kernel computes the product
    choice.py      which of them is the fastest here: measured once, in milliseconds
    gpu_kernels.py, gpu_choice.py    the same for quantized matrices on CUDA
    linear.py      several projections as one, packed when first used
    decoder.py     the decoder in fewer steps
    replay.py      its steps of decoding, recorded once and replayed; graphs.py records on CUDA
    prepared.py    the model of such parts

The exact model stays what it is, and is what this one is tested against.
"""

from ojito.inference.prepared import Preparation, Prepared, copied_bytes, prepare
from ojito.inference.quantize import FORMS, quantize, quantized_form

__all__ = ["FORMS", "Preparation", "Prepared", "copied_bytes", "prepare", "quantize", "quantized_form"]
