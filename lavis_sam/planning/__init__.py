"""What a run will need: parameters, memory, FLOPs, the cards that it fits on, steps and hours.

forecast       parameters, memory and FLOPs of a step
cards          the sizes of cards that it fits on
sharding       the same with `run.sharding`, `spread` with `model.device_map`, `feature_cache` with `run.feature_cache`
run_length     optimizer steps and their time
"""
