"""From files to padded batches: annotation or release -> samples -> items -> batch. Nothing here imports LAVIS.

catalogue       one entry for each data set; everything else that is known of it follows
sample          the one form of a sample
annotations     the unified format; `records` reads its files, `problems` is the report of what was wrong
formats/        the releases of the data sets' authors
exchange/       the formats of other projects
images          one decoder of images; `image_check` looks at them before a run
stored          samples and where their images are; `multi_image` makes items of them
shards/         data sets as tar files
sampler         which index comes when (`buckets`: samples of like size together); `collate` pads to a batch
guarded         what stands in the place of a sample whose files cannot be used
prompts/        instructions by task
patch_words     which words are true of which patch of a synthesised image, to pretrain a small base
folder          a data set on the disk, opened or written
own_data        a user's own folder as the data set `own`
collect, joining, splitting, preview, statistics    what the commands of `lavis-sam data` do
"""
