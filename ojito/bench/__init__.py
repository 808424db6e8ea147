"""What an answer costs: `run` measures it, `roofline` says what the machine would allow, `page` draws it."""
