"""References for miniatures of benchmarks, made from a model's own answers."""

import re


def references(answer, number):
    """Return texts with many words of an answer, as the scores of unlike texts would all be zero."""
    words = re.findall("[A-Za-z]+", answer) or ["nothing"]
    return [f"{' '.join(words[place:])} and more" for place in range(number)]
