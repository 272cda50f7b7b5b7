"""Step 6: what the frozen language model reads, and what is made of what it gives.

tokenizers      text to ids and back
language_model  what is needed of a language model, and transformers' as one
sequence        visual tokens and text as one sequence, and its loss
token_losses    the loss of target tokens, block by block
packing         several samples in one row
kv_cache        one prompt, continued by several branches
"""
