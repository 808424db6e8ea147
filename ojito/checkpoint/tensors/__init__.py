"""Tensors on disk: safetensors, in one file or in shards, or any other source. Strict, by mmap, never a pickle."""
