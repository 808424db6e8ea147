"""Finding things in an image: boxes and masks, as PaliGemma writes them and as they are drawn."""
