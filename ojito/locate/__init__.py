"""Boxes and masks, as PaliGemma writes them and as they are drawn."""
