"""Predictions -> ROUGE-L, CIDEr, BLEU-4 and further metrics under a named protocol.

    predictions     the authors' prediction files
    metric          what a metric is: statistics of each sample, and how their sums make a score
    protocols       `score`: protocol `sam` (the published numbers) and `coco` (the field's standard); `register`
    sam_text        text normalisation of `sam`
    ptb             Penn Treebank tokens of `coco` (with ptb_grammar, ptb_shape)
    rouge, lcs      ROUGE-L, both kinds
    ngrams          n-grams of a corpus as arrays, for
    bleu, cider     BLEU-4 and CIDEr
    resampling      bootstrap intervals, paired tests

Nothing here imports LAVIS or torch; the libraries whose scores are reported are imported when a report is made.
"""
