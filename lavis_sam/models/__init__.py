"""Room 5, the model. Every file but `blip2_vicuna_sam` is a plain module that imports without LAVIS."""
