"""Scores of answers: word overlap of captions, and what captioners without eyes reach."""
