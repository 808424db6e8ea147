"""GGUF, the file format of llama.cpp. What the metadata means for a model, `checkpoint.gguf` says.

    header              metadata and places of the tensors, checked before anything is read
    container           an opened file: its header, its arrays, and views of its tensors
    quantization        blocks of few bits to numbers, and to groups of integers with a scale
    tokenizer           the vocabulary in the metadata as a tokenizer of the library that Ojito uses
    writer              a file of metadata and tensors
    tokenizer_writer    a tokenizer as metadata

Source: ggml's `docs/gguf.md`, versions 2 and 3.
"""
