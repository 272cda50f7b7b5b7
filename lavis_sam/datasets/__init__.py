"""From files to padded batches: annotation or release -> samples -> items -> batch. Nothing here imports LAVIS.

catalogue       one entry for each data set; everything else that is known of it follows
sample          the one form of a sample
annotations     the unified format; `records` reads its files, `problems` is the report of what was wrong
formats/        the releases of the data sets' authors
exchange/       the formats of other projects
images          one decoder of images; `image_check` looks at them before a run
multi_image     samples and an image store -> items
shards/         data sets as tar files
sampler         which index comes when; `collate` pads to a batch
prompts/        instructions by task
patch_words     which words are true of which patch of a synthesised image, to pretrain a small base
folder          a data set on the disk, opened or written; `collect`, `preview`, `statistics` are commands on it
"""
