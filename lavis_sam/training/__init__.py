"""Training: the loop over an epoch, its data, its checkpoints and its logs. Nothing here imports LAVIS.

epoch_trainer       the loop; `steps` is what it takes from a task and reports, `display` its progress
training_data       where batches come from, with a position; `loaders` for map-style sets, `data_fingerprint`
optimisation        AdamW, its schedule, the loss scaler, DDP
sharding            each process has a share of the model
checkpoints         the files of a run; `resume` saves and loads them, all processes together
resume_checks       what may change when a run is continued
output_folder       the folder of a run
metric_log          log.jsonl; `metric_loggers` are TensorBoard and Weights & Biases, `curves` draws it
"""
