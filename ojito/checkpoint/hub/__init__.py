"""Models of the Hugging Face Hub: `download` decides what to fetch, `transfer` fetches it, `cache` knows the paths."""
