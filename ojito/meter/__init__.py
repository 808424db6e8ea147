"""What a machine can do and what work takes on it: the machine itself, clocks, memory, rates."""
