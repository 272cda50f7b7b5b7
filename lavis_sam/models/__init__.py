"""The model, as plain modules: from images to visual tokens to text. Nothing here imports LAVIS or reads a file.

semantic_alignment   the whole model: `encode` (steps 1 to 5), `loss` and `generate_from` (step 6)
visual_path          steps 1 to 5, all images of a batch at once
vision               step 1, the ViT; `layer_norm` is that of everything frozen
adaptive_adjustment  step 2, the merged context
w_former             step 3, contextual semantics, and what may take its place
q_former             steps 3 and 4, the layers of both streams
vpg_c                row 5 of Table 3: images read a second time, half-way through the language model
language/            step 6: tokenizers, sequences, losses, caches
released_search      step 6: text, searched as the released code searches
batch, guidance, sizes, decoding     batches and settings, checked
objectives           what training minimises; `patch_words` and `query_words` for a base that is trained from nothing
trainable            what of a model is trained
compilation          layers by torch.compile
"""
