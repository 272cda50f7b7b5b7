"""Room 6 of the way of the data: predictions -> ROUGE-L, CIDEr and BLEU-4 under a named protocol.

Pure functions; nothing here imports LAVIS or torch.

    predictions     the authors' prediction files
    protocols       `score`: protocol `sam` (the published numbers) and `coco` (the field's standard)
    sam_text        text normalisation of `sam`
    ptb             Penn Treebank tokens of `coco` (with ptb_grammar, ptb_shape)
    rouge, lcs      ROUGE-L, both kinds
    ngrams          n-grams of a corpus as arrays, for
    bleu, cider     BLEU-4 and CIDEr
    resampling      bootstrap intervals, paired tests
"""
