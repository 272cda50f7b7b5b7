"""Weights: files in and out of a model. Nothing here imports LAVIS.

build_model          the one place where a model is put together
locations, packaged  which files a config needs, and where they are; what the package itself holds
pretrained           EVA's and LAVIS's files of the base
instructblip         transformers' folder of the whole base; `instructblip_export` writes one
language_models      language models from folders, `vicuna` which version one is, `device_map` over several devices,
                     `quantised` (with `int8_layer`) in 8 or 4 bits
tokenizers           both tokenizers from their files; `saved_tokenizers` reads those that transformers 5 saved again
checkpoints          loading that checks every key and shape; saving what was trained
checkpoint_files     weight files of any kind, read; `archives` and `values` check them, `streaming` and `part_index`
                     read large ones tensor by tensor
trained              trained layers, whatever they were saved as; `embedded` are the package's own
adapters             trained layers as a folder to give away; `hub` fetches one
injection            what is built into a model beside SAM's layers; `lora` is one
fingerprints         is this the base that an adapter was trained over
"""
