"""Training measured: what a step costs, and what fills it."""
