"""Instruments that look into a model while it works, and leave it as it was."""
