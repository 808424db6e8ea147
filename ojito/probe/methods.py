"""Names of the methods that draw a map, without torch: `ojito --help` lists them."""

METHODS = ("attention", "rollout", "relevance", "gradient", "occlusion")
