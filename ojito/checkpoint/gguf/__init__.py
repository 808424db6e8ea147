"""GGUF files as models: `folder` describes one, alone or with its mmproj, and `export` writes both.

decoders    metadata and tensor names of language models, in both directions
towers      those of an mmproj: vision tower and projector
text        vocabulary and chat template to the processor's settings
opened      an opened pair of files, and their tensors
"""
