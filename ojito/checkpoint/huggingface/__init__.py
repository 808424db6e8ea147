"""Hugging Face folders: `folder` reads one, `parts` reads a tower or a decoder out of one, `export` writes one.

`families` holds a file for each vision-language model; they join `decoders` and `towers`.
"""
