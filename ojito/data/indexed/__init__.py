"""Data too large to hold: an index of where each row stands, and rows that are read when they are asked for.

`index` is what is known of all rows, `cache` keeps it on disk, `facts` tells it of one row; `tables` read rows by their
number, and `source` is what training sees of them.
"""
