"""What a run will need, from sizes alone: parameters, memory, FLOPs."""
