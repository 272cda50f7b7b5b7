"""The named protocols: which text is compared with which, and by which ROUGE-L.

- `sam`: one reference, the authors' text normalisation, then ROUGE-L of the package `rouge`, and CIDEr and BLEU-4 of
  pycocoevalcap, on the words that white space separates. The published numbers are made this way.
- `coco`: all references, Penn Treebank tokens without punctuation, then ROUGE-L, CIDEr and BLEU-4 of pycocoevalcap. The
  field's standard.

Scores of different protocols mean different things; everything that holds scores names its protocol.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.metrics.bleu import bleu4, bleu_statistics
from lavis_sam.metrics.cider import cider_scores
from lavis_sam.metrics.ngrams import Floats, count_ngrams
from lavis_sam.metrics.predictions import Prediction, check_unique
from lavis_sam.metrics.ptb import ptb_tokens
from lavis_sam.metrics.rouge import rouge_l_of_sequences, rouge_l_of_sets, sentences
from lavis_sam.metrics.sam_text import normalise

# Name in files -> title in tables.
METRICS = {"rouge": "ROUGE-L", "cider": "CIDEr", "bleu4": "BLEU-4"}
_SHOWN_IDS = 10


@dataclass(frozen=True)
class Protocol:
    """A way to score.

    Attributes:
        name: Its name.
        references: The texts that a prediction is compared with.
        prepared: Text -> words joined by spaces; "" if nothing is left.
        rouge: (prediction, references), all prepared -> ROUGE-L.
    """

    name: str
    references: Callable[[Prediction], Sequence[str]]
    prepared: Callable[[str], str]
    rouge: Callable[[str, Sequence[str]], float]


def _prepared_for_sam(text: str) -> str:
    text = normalise(text)
    return text if sentences(text) else ""


def _prepared_for_coco(text: str) -> str:
    return " ".join(ptb_tokens(text))


PROTOCOLS = {
    "sam": Protocol(
        "sam", lambda p: (p.truth,), _prepared_for_sam, lambda text, truth: rouge_l_of_sets(text, truth[0])
    ),
    "coco": Protocol("coco", lambda p: p.references, _prepared_for_coco, rouge_l_of_sequences),
}


@dataclass(frozen=True)
class Scores:
    """Scores of n samples under one protocol.

    Attributes:
        protocol: Its name.
        ids: n sample ids.
        rouge: [n] ROUGE-L.
        cider: [n] CIDEr.
        bleu: [n, 10] statistics of BLEU, see `lavis_sam.metrics.bleu`.
    """

    protocol: str
    ids: tuple[int | str, ...]
    rouge: Floats
    cider: Floats
    bleu: Floats

    def corpus(self) -> dict[str, float]:
        """The three scores of all samples together, x100."""
        values = (self.rouge.mean(), self.cider.mean(), bleu4(self.bleu.sum(axis=0)))
        return {name: 100 * float(value) for name, value in zip(METRICS, values, strict=True)}

    def per_sample(self) -> list[dict[str, Any]]:
        """The authors' `eval_score.json`: id and the three scores of each sample, not x100."""
        columns = (self.rouge.tolist(), self.cider.tolist(), bleu4(self.bleu).tolist())
        return [
            {"id": name, "rouge": rouge, "cider": cider, "bleu4": bleu}
            for name, rouge, cider, bleu in zip(self.ids, *columns, strict=True)
        ]

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return {
            "protocol": self.protocol,
            "corpus": self.corpus(),
            "per_sample": self.per_sample(),
            "count": len(self.ids),
        }


def score(predictions: Sequence[Prediction], protocol: str = "sam") -> Scores:
    """Score predictions.

    Args:
        predictions: At least one, each of another sample.
        protocol: "sam" or "coco".

    Raises:
        SamConfigurationError: No such protocol.
        SamDataError: No prediction, two of one sample, or a reference of which the protocol leaves nothing; the message
            names the samples. A prediction of which nothing is left scores 0.
    """
    if protocol not in PROTOCOLS:
        raise SamConfigurationError(f"protocol: found {protocol!r}, wanted one of {', '.join(PROTOCOLS)}.")
    if not predictions:
        raise SamDataError("found 0 predictions, wanted at least one.")
    check_unique(predictions, place="predictions")
    way = PROTOCOLS[protocol]
    references = [[way.prepared(text) for text in way.references(prediction)] for prediction in predictions]
    _check_references(predictions, references, protocol)
    texts = [way.prepared(prediction.text) for prediction in predictions]
    corpus = count_ngrams(texts, references)
    return Scores(
        protocol=protocol,
        ids=tuple(prediction.sample_id for prediction in predictions),
        rouge=np.fromiter(map(way.rouge, texts, references), float, len(texts)),
        cider=cider_scores(corpus),
        bleu=bleu_statistics(corpus),
    )


def _check_references(predictions: Sequence[Prediction], references: list[list[str]], protocol: str) -> None:
    empty = [repr(p.sample_id) for p, texts in zip(predictions, references, strict=True) if not all(texts)]
    if empty:
        more = ", …" if len(empty) > _SHOWN_IDS else ""
        raise SamDataError(
            f"{len(empty)} sample(s) have an empty reference, or one of which protocol {protocol} leaves nothing: "
            f"{', '.join(empty[:_SHOWN_IDS])}{more}. Nothing can be compared with it; correct or remove these samples."
        )
