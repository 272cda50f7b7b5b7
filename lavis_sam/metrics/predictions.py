"""Prediction files in the authors' exchange format, read strictly.

A file is a JSON list of `{"sample_id", "pred_response", "gt_response"}`, optionally with `"references": [str, ...]` for
protocols that know several; further keys are ignored. An object with such a list under `"predictions"` is read too.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lavis_sam.errors import SamDataError
from lavis_sam.files import read_json

REMEDY = "Name a whole, readable list of predictions (JSON in UTF-8)."
_SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Prediction:
    """A model's answer to one sample, beside the truth.

    Attributes:
        sample_id: The sample's name; 1 and "1" are the same name.
        truth: The reference; several are joined here by the data set's own convention.
        references: The references one by one; equal to (truth,) when the file gives none.
    """

    sample_id: int | str
    text: str
    truth: str
    references: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """Return the record of a prediction file."""
        record: dict[str, Any] = {
            "sample_id": self.sample_id,
            "pred_response": self.text,
            "gt_response": self.truth,
        }
        if self.references != (self.truth,):
            record["references"] = list(self.references)
        return record


def read_predictions(path: str | os.PathLike[str]) -> list[Prediction]:
    """Read a prediction file whose records must all be whole.

    Raises:
        SamDataError: The file is unreadable, empty, or has records of a wrong form; the message shows the first ones.
    """
    return parse_predictions(read_json(path, remedy=REMEDY), place=os.fspath(path))


def parse_predictions(document: Any, *, place: str) -> list[Prediction]:
    """Return the predictions of a parsed prediction file.

    Args:
        document: The list of records, or an object that holds it under "predictions".
        place: What messages name as the source.

    Raises:
        SamDataError: No record, one of a wrong form, or two of one sample.
    """
    records = document.get("predictions") if isinstance(document, dict) else document
    if not isinstance(records, list):
        raise SamDataError(
            f"{place}: found {_shown(document)}, wanted a list of objects with sample_id, pred_response, gt_response."
        )
    if not records:
        raise SamDataError(f"{place}: found 0 predictions, wanted at least one.")
    problems: list[str] = []
    predictions: list[Prediction] = []
    for index, record in enumerate(records):
        found = _problems(record)
        problems += [f"{place}[{index}]: {problem}" for problem in found]
        if not found:
            references = tuple(record.get("references") or (record["gt_response"],))
            predictions.append(
                Prediction(record["sample_id"], record["pred_response"], record["gt_response"], references)
            )
    if problems:
        raise SamDataError(_listing(f"{len(problems)} problem(s) in {place}", problems))
    check_unique(predictions, place=place)
    return predictions


def check_unique(predictions: Iterable[Prediction], *, place: str) -> None:
    """Refuse two predictions of one sample, which the authors' script would merge or crash on.

    Raises:
        SamDataError: The message names the samples.
    """
    uses = Counter(str(prediction.sample_id) for prediction in predictions)
    twice = [name for name, count in uses.items() if count > 1]
    if twice:
        raise SamDataError(
            f"{place}: {len(twice)} sample id(s) occur more than once: {_first(twice)}. Wanted one prediction for each "
            'sample (1 and "1" are the same id); remove the others.'
        )


def check_same_data(first: Sequence[Prediction], second: Sequence[Prediction], *, names: tuple[str, str]) -> None:
    """Refuse to compare predictions that were made for different samples or references.

    Args:
        second: Another model's, in any order.
        names: What messages call the two.

    Raises:
        SamDataError: The message names both sides and the samples.
    """
    sides = [{str(p.sample_id): p for p in predictions} for predictions in (first, second)]
    lacks = [
        f"{there} lacks {len(missing)} of {here}'s samples: {_first(missing)}"
        for here, there, missing in (
            (names[0], names[1], [name for name in sides[0] if name not in sides[1]]),
            (names[1], names[0], [name for name in sides[1] if name not in sides[0]]),
        )
        if missing
    ]
    if lacks:
        raise SamDataError(f"{'; '.join(lacks)}. Wanted predictions for the same samples.")
    for name, ours in sides[0].items():
        theirs = sides[1][name]
        if (ours.truth, ours.references) != (theirs.truth, theirs.references):
            raise SamDataError(
                f"sample {name}: the reference is {_shown(ours.truth)} (of {len(ours.references)}) in {names[0]} and "
                f"{_shown(theirs.truth)} (of {len(theirs.references)}) in {names[1]}. Wanted the same references."
            )


def of_samples(
    predictions: Sequence[Prediction], samples: Sequence[Prediction], *, names: tuple[str, str]
) -> list[Prediction]:
    """Return the predictions with a data set's references, if they answer its samples: each once, and no other.

    Args:
        predictions: From a file that may know one reference of several.
        samples: The data set's ids and references; their texts do not count.
        names: What messages call the two.

    Raises:
        SamDataError: Unknown or missing samples, or another truth; the message names both sides.
    """
    by_id = {str(sample.sample_id): sample for sample in samples}
    completed = [
        replace(prediction, references=by_id[str(prediction.sample_id)].references)
        if prediction.references == (prediction.truth,) and str(prediction.sample_id) in by_id
        else prediction
        for prediction in predictions
    ]
    check_same_data(completed, samples, names=names)
    return completed


def data_fingerprint(predictions: Sequence[Prediction]) -> str:
    """Return what the predictions were asked for: a hash of ids and references, whatever their order and the answers.

    Returns:
        64 hexadecimal digits.
    """
    lines = sorted(json.dumps([str(p.sample_id), p.truth, *p.references]) for p in predictions)
    return hashlib.sha256("\n".join(lines).encode("ascii")).hexdigest()


def _problems(record: Any) -> list[str]:
    """Return what is wrong with one record."""
    if not isinstance(record, dict):
        return [f"found {_shown(record)}, wanted an object with sample_id, pred_response and gt_response"]
    problems = []
    identity = record.get("sample_id")
    if isinstance(identity, bool) or not isinstance(identity, int | str) or identity == "":
        problems.append(f"sample_id: found {_found(record, 'sample_id')}, wanted an integer or a text")
    name = "" if problems else f" (sample {identity!r})"
    for key in ("pred_response", "gt_response"):
        if not isinstance(record.get(key), str):
            problems.append(f"{key}{name}: found {_found(record, key)}, wanted a text")
    references = record.get("references")
    if references is not None and not (
        isinstance(references, list) and references and all(isinstance(text, str) for text in references)
    ):
        problems.append(f"references{name}: found {_shown(references)}, wanted a non-empty list of texts")
    if problems:
        return problems
    texts = [identity, record["pred_response"], record["gt_response"], *(references or ())]
    if any(isinstance(text, str) and not _is_unicode(text) for text in texts):
        problems.append(f"{name.strip() or 'sample_id'}: a text holds half a character (a lone surrogate)")
    return problems


def _found(record: dict[str, Any], key: str) -> str:
    """Return a key's value for a message, or the keys that are there in its place: other formats have other names."""
    names = "" if key in record else f" (its keys are {_shown(', '.join(map(str, record)))})"
    return f"{_shown(record.get(key))}{names}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listing(head: str, problems: Sequence[str]) -> str:
    lines = [f"  {problem}" for problem in problems[:_SHOWN_PROBLEMS]]
    if len(problems) > _SHOWN_PROBLEMS:
        lines.append(f"  … and {len(problems) - _SHOWN_PROBLEMS} more")
    return "\n".join([f"{head}:", *lines])


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN_PROBLEMS]) + (", …" if len(names) > _SHOWN_PROBLEMS else "")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
