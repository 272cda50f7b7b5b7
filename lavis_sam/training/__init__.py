"""Training: the loop over an epoch, its data, its checkpoints and its logs. Nothing here imports LAVIS."""
