"""GGUF, the file format of llama.cpp. What the metadata means for a model, `checkpoint.gguf` says.

    container       header, metadata and places of the tensors, checked before anything is read
    quantization    blocks of few bits to numbers, and to groups of integers with a scale
    tokenizer       the vocabulary in the metadata as a tokenizer of the library that Ojito uses
    writer          a file of metadata and tensors

Source: ggml's `docs/gguf.md`, versions 2 and 3.
"""
