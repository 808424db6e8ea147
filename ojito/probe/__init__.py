"""Looking inside a model: the way of image and words through it, and what an answer rests on. It stays as it was."""
