"""Scores of answers: word overlap of captions, and baselines that do not look at the image."""
