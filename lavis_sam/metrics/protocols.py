"""The named protocols: which text is compared with which, on which words.

- `sam`: one reference, the authors' text normalisation, then ROUGE-L of the package `rouge`, and CIDEr and BLEU-4 of
  pycocoevalcap, on the words that white space separates. The published numbers are made this way.
- `coco`: all references, Penn Treebank tokens without punctuation, then ROUGE-L, CIDEr and BLEU-4 of pycocoevalcap. The
  field's standard. A reference that consists of punctuation is left out where the sample has another one; a sample that
  has no other scores 0, and counts. Under `sam` it is an error, as the package `rouge` has it.

Scores of different protocols mean different things; everything that holds scores names its protocol.

What is reported of a corpus is what the libraries themselves compute (`Scores.reported`). Our statistics, which give
intervals, paired tests and the scores of single samples in a tenth of the time, are compared with them there.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.metrics.bleu import BLEU_4
from lavis_sam.metrics.cider import CIDER, WHY_ZERO, without_rarity
from lavis_sam.metrics.metric import Metric, Texts
from lavis_sam.metrics.ngrams import Floats
from lavis_sam.metrics.predictions import Prediction, check_unique
from lavis_sam.metrics.ptb import ptb_tokens, stanford_tokens
from lavis_sam.metrics.rouge import ROUGE_L, sentences
from lavis_sam.metrics.sam_text import normalise

_LOG = logging.getLogger(__name__)
# Name -> metric, in the order of tables.
METRICS: dict[str, Metric] = {metric.name: metric for metric in (ROUGE_L, CIDER, BLEU_4)}
# What stands beside the metrics in files and settings.
_TAKEN = ("", "id", "loss", "samples", "protocol", "predictions", "agg_metrics")
# The largest difference between a library's score (x100 of a corpus) and ours; measured: 2e-12 on 50,000 answers.
TOLERANCE = 1e-9
TOKENIZERS = ("python", "stanford")
_SHOWN_IDS = 10


def register(metric: Metric) -> None:
    """Add a metric to those that are computed.

    Raises:
        SamConfigurationError: Its name is taken.
    """
    if metric.name in (*METRICS, *_TAKEN):
        raise SamConfigurationError(f"metric {metric.name!r}: found that name taken, wanted another one.")
    METRICS[metric.name] = metric


@dataclass(frozen=True)
class Protocol:
    """A way to score.

    Attributes:
        references: The texts that a prediction is compared with.
        prepare: (texts, name of a tokenizer) -> for each its words joined by spaces; "" if nothing is left.
        tokenizers: The tokenizers that it can use; the first is the default.
    """

    references: Callable[[Prediction], Sequence[str]]
    prepare: Callable[[Sequence[str], str], list[str]]
    tokenizers: tuple[str, ...]


def _prepare_for_sam(texts: Sequence[str], tokenizer: str) -> list[str]:
    return [text if sentences(text) else "" for text in map(normalise, texts)]


def _prepare_for_coco(texts: Sequence[str], tokenizer: str) -> list[str]:
    return stanford_tokens(texts) if tokenizer == "stanford" else [" ".join(ptb_tokens(text)) for text in texts]


PROTOCOLS = {
    "sam": Protocol(lambda p: (p.truth,), _prepare_for_sam, TOKENIZERS[:1]),
    "coco": Protocol(lambda p: p.references, _prepare_for_coco, TOKENIZERS),
}


@dataclass(frozen=True)
class Reported:
    """The scores of a corpus as the published libraries have them.

    Attributes:
        corpus: Metric -> score, x100.
        largest_difference: Between the libraries and our statistics, over corpus (x100) and samples.
    """

    corpus: Mapping[str, float]
    largest_difference: float


@dataclass(frozen=True)
class Scores:
    """Scores of n samples under one protocol.

    Attributes:
        protocol: Its name.
        tokenizer: How words were found, "python" or "stanford".
        ids: n sample ids.
        texts: What was compared.
        statistics: Metric -> [n, F]; see `Metric`.
    """

    protocol: str
    tokenizer: str
    ids: tuple[int | str, ...]
    texts: Texts
    statistics: Mapping[str, Floats]

    def corpus(self) -> dict[str, float]:
        """Return the scores of all samples together, x100, from our statistics; `reported` is what a report says."""
        return {
            name: 100 * float(METRICS[name].corpus(values.sum(axis=0), len(values)))
            for name, values in self.statistics.items()
        }

    @cached_property
    def reported(self) -> Reported:
        """What the libraries say, compared with our statistics; computed when it is first asked for.

        Raises:
            SamDataError: The two differ by more than `TOLERANCE`.
        """
        ours, reported, largest = self.corpus(), {}, 0.0
        for name, values in self.statistics.items():
            metric = METRICS[name]
            reported[name] = ours[name]
            if metric.library is not None:
                corpus, samples = metric.library(self.texts)
                reported[name] = 100 * float(corpus)
                differences = np.abs(metric.per_sample(values) - np.asarray(samples))
                largest = max(largest, self._checked(metric, differences, abs(ours[name] - reported[name])))
        if without_rarity(self.texts):
            _LOG.warning("%d sample(s): %s", len(self.ids), WHY_ZERO)
        return Reported(reported, largest)

    def _checked(self, metric: Metric, of_samples: Floats, of_corpus: float) -> float:
        largest = max(float(of_samples.max()), of_corpus)
        if not largest <= TOLERANCE:
            raise SamDataError(
                f"{metric.title} under protocol {self.protocol}: the library and lavis_sam differ by {largest:.3g}, "
                f"wanted at most {TOLERANCE:g} (most at sample {self.ids[int(of_samples.argmax())]!r}). Check that the "
                "installed rouge and pycocoevalcap are the pinned ones; if they are, this is a defect to report."
            )
        return largest

    def per_sample(self) -> list[dict[str, Any]]:
        """Return the authors' `eval_score.json`: id and the scores of each sample, not x100."""
        columns = [METRICS[name].per_sample(values).tolist() for name, values in self.statistics.items()]
        return [
            {"id": identity, **dict(zip(self.statistics, row, strict=True))}
            for identity, *row in zip(self.ids, *columns, strict=True)
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return everything that a report says, as plain data."""
        return {
            "protocol": self.protocol,
            **({"tokenizer": self.tokenizer} if self.protocol == "coco" else {}),
            "corpus": dict(self.reported.corpus),
            "largest_difference": self.reported.largest_difference,
            "per_sample": self.per_sample(),
            "count": len(self.ids),
        }


def score(predictions: Sequence[Prediction], protocol: str = "sam", tokenizer: str = "python") -> Scores:
    """Score predictions.

    Args:
        tokenizer: "python", or "stanford" for `coco`'s tokens by Stanford's program, which needs Java.

    Raises:
        SamConfigurationError: No such protocol or tokenizer, or no Java.
        SamDataError: No prediction, two of one sample, an empty reference, or references of which the protocol leaves
            nothing (`coco`: in no sample); the message names the samples. A prediction of which nothing is left
            scores 0.
    """
    if protocol not in PROTOCOLS:
        raise SamConfigurationError(f"protocol: found {protocol!r}, wanted one of {', '.join(PROTOCOLS)}.")
    way = PROTOCOLS[protocol]
    if tokenizer not in way.tokenizers:
        raise SamConfigurationError(
            f"tokenizer of protocol {protocol}: found {tokenizer!r}, wanted {' or '.join(way.tokenizers)}."
        )
    if not predictions:
        raise SamDataError("found 0 predictions, wanted at least one.")
    check_unique(predictions, place="predictions")
    raw = [way.references(prediction) for prediction in predictions]
    prepared = iter(way.prepare([p.text for p in predictions] + [text for of_one in raw for text in of_one], tokenizer))
    candidates = [next(prepared) for _ in predictions]
    references = [[next(prepared) for _ in of_one] for of_one in raw]
    references = _usable_references(predictions, raw, references, protocol)
    texts = Texts(protocol, candidates, references)
    return Scores(
        protocol=protocol,
        tokenizer=tokenizer,
        ids=tuple(prediction.sample_id for prediction in predictions),
        texts=texts,
        statistics={name: np.asarray(metric.statistics(texts), float) for name, metric in METRICS.items()},
    )


def _usable_references(
    predictions: Sequence[Prediction], raw: Sequence[Sequence[str]], prepared: list[list[str]], protocol: str
) -> list[list[str]]:
    """Return the prepared references of which something is left; `[""]`, which scores 0, where that is none."""
    if all(map(all, prepared)):
        return prepared
    names = [repr(prediction.sample_id) for prediction in predictions]
    without_any = [name for name, texts in zip(names, prepared, strict=True) if not any(texts)]
    if protocol == "sam" or len(without_any) == len(names):
        refused = without_any
    else:
        refused = [name for name, texts in zip(names, raw, strict=True) if not any(text.strip() for text in texts)]
    if refused:
        raise SamDataError(
            f"{len(refused)} sample(s) have an empty reference, or one of which protocol {protocol} leaves nothing: "
            f"{_first(refused)}. Nothing can be compared with it; correct or remove these samples."
        )
    if without_any:
        _LOG.warning(
            "%d sample(s) score 0, because protocol %s leaves nothing of any reference: %s. Correct or remove them.",
            *(len(without_any), protocol, _first(without_any)),
        )
    partly = [name for name, texts in zip(names, prepared, strict=True) if any(texts) and not all(texts)]
    if partly:
        _LOG.warning(
            "%d sample(s) have references of which protocol %s leaves nothing; these references are left out: %s",
            *(len(partly), protocol, _first(partly)),
        )
    return [[text for text in texts if text] or [""] for texts in prepared]


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN_IDS]) + (", …" if len(names) > _SHOWN_IDS else "")
