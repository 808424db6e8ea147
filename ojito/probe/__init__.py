"""Looking inside a model: what an answer rests on, and where in the image that is."""
