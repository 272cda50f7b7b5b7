"""The slow oracle of the metrics: the published libraries, called as the authors' scoring calls them."""

import contextlib
import io

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge as CocoRouge
from rouge import Rouge

_MARKS = [";", "/", "[", "]", '"', "{", "}", "(", ")", "=", "+", "\\", "_", "-", ">", "<", "@", "`", ",", "?", "!"]


def plain_normalise(text):
    """The `sam` protocol's normalisation, step by step and mark by mark."""
    text = text.replace("\n", " ").replace("\t", " ").strip()
    out = text
    for mark in _MARKS:
        number = any(
            a.isdecimal() and b == "," and c.isdecimal() for a, b, c in zip(text, text[1:], text[2:], strict=False)
        )
        gone = (mark + " ") in text or (" " + mark) in text or number
        out = out.replace(mark, "" if gone else " ")
    kept, deleted = [], 0
    for position, character in enumerate(out):
        if character == "." and deleted < 32 and not out[position + 1 : position + 2].isdecimal():
            deleted += 1
        else:
            kept.append(character)
    return "".join(kept).strip("'").strip('"').strip().lower()


def rouge_of_package(rouge, prediction, reference):
    """ROUGE-L F of the package `rouge`, 0 for an empty prediction."""
    return rouge.get_scores(prediction, reference)[0]["rouge-l"]["f"] if prediction else 0.0


def cider_and_bleu(predictions, references):
    """pycocoevalcap on texts as they are: (corpus CIDEr, per sample, corpus BLEU-1..4, BLEU-4 per sample)."""
    gts = {index: list(texts) for index, texts in enumerate(references)}
    res = {index: [text] for index, text in enumerate(predictions)}
    with contextlib.redirect_stdout(io.StringIO()):
        cider, ciders = Cider().compute_score(gts, res)
        bleu, bleus = Bleu(4).compute_score(gts, res)
    return float(cider), [float(value) for value in ciders], bleu, bleus[3]


def score_as_sam(pairs, normalise=plain_normalise):
    """Corpus x100 and per-sample scores of (prediction, reference) pairs, as the authors' scoring makes them."""
    predictions = [normalise(prediction) for prediction, _ in pairs]
    references = [normalise(reference) for _, reference in pairs]
    rouge = Rouge(metrics=["rouge-l"])
    rouges = [rouge_of_package(rouge, *pair) for pair in zip(predictions, references, strict=True)]
    cider, ciders, bleu, bleus = cider_and_bleu(predictions, [[text] for text in references])
    return _together(sum(rouges) / len(rouges), rouges, cider, ciders, bleu, bleus)


def score_as_coco(predictions, references):
    """The same for tokenised texts and several references, with pycocoevalcap's ROUGE-L."""
    gts = {index: list(texts) for index, texts in enumerate(references)}
    res = {index: [text] for index, text in enumerate(predictions)}
    rouge, rouges = CocoRouge().compute_score(gts, res)
    return _together(float(rouge), rouges.tolist(), *cider_and_bleu(predictions, references))


def _together(rouge, rouges, cider, ciders, bleu, bleus):
    corpus = {"rouge": 100 * rouge, "cider": 100 * cider, "bleu4": 100 * bleu[3]}
    samples = [{"rouge": r, "cider": c, "bleu4": b} for r, c, b in zip(rouges, ciders, bleus, strict=True)]
    return corpus, samples
