"""What a run will need: parameters, memory, FLOPs, the cards that it fits on, steps and hours."""
