"""References for miniatures of benchmarks, made from a model's own answers."""

import re


def references(answer, number, sample):
    """Return texts with many words of an answer, as the scores of unlike texts would all be zero.

    Each sample's begin at another word: where a model answers alike, CIDEr counts only what is not in every sample.
    """
    words = re.findall("[A-Za-z]+", answer) or ["nothing"]
    return [f"{' '.join(words[sample + place :])} and more" for place in range(number)]
