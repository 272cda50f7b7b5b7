"""Questions about several images of a finished data set of single images: what do these two, these five share?

Images that were drawn alone show the same icon, or a sofa of the same colour, thousands of times; any two of them that
have exactly one such thing in common are a pair in the sense of MmLINK. A data set of n images has pairs of the order
of n squared, where drawing pairs gives one for two images: training that has to learn how to compare needs many.

`shared_2.json` holds them in the unified format, `shared_2_val.json` those among the images kept for validation; those
about five images are in `shared_5.json` and `shared_5_val.json`.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.finished import reading_sample
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.questions import as_if_shared, read_samples, read_single_images, write_records
from lavis_sam.synthesis.seeds import generator

SHARED, VALIDATION = "shared_{}.json", "shared_{}_val.json"
# Number of images -> the form whose sentences ask about so many.
FORMS = {2: "pairs", 5: "groups"}
# How often other images are drawn for an image before it has fewer questions.
_TRIES = 20

Sample = Mapping[str, Any]


def write_shared_questions(
    root: Path, *, num_images: int, num: int, seed: int = 0, validation: float = 0.04, without: Sequence[Path] = ()
) -> tuple[int, int]:
    """Write ROOT/shared_N.json and ROOT/shared_N_val.json: questions about images that share exactly one thing.

    People are left out: drawn alone, no two are the same.

    Args:
        root: A finished data set of the form `captions`.
        num_images: Images of a question, N: 2 or 5.
        num: Questions for each image that shows such a thing; fewer where not enough others show it.
        seed: What is asked depends on it alone.
        validation: The share of the images, the last ones, that only shared_N_val.json is about.
        without: Finished data sets, of any form; what their images share is no answer here. So a model that is trained
            on these questions can be measured on those sets.

    Returns:
        How many questions the two files hold.

    Raises:
        SamConfigurationError: An impossible number or share.
        SamDataError: No such data set, one of another form, or a damaged one.
    """
    excluded = {name for folder in without for name in read_samples(folder, lambda sample: _name(sample["objects"][0]))}
    if num_images not in FORMS or num < 1 or seed < 0 or not 0 <= validation < 1:
        raise SamConfigurationError(
            f"found {num_images} images, num {num}, seed {seed} and a validation share of {validation}; wanted 2 or 5 "
            "images, num of at least 1, seed of at least 0 and a share from 0 to below 1."
        )
    samples = read_single_images(root)
    first_kept = len(samples) - round(len(samples) * validation)
    trained, kept = (
        write_records(root / name.format(num_images), _questions(root, place, part, num_images, num, seed, excluded))
        for name, place, part in (
            (SHARED, 1, samples[:first_kept]),
            (VALIDATION, first_kept + 1, samples[first_kept:]),
        )
    )
    return trained, kept


def _questions(
    root: Path, first: int, samples: Sequence[Sample], num_images: int, num: int, seed: int, excluded: set[str]
) -> Iterator[dict[str, Any]]:
    """Yield the records about these images, an image after the other; the first one is on the line `first`."""
    things = [_things(sample) for sample in samples]
    showing: dict[str, list[int]] = defaultdict(list)
    for number, shown in enumerate(things):
        for name in shown:
            showing[name].append(number)
    for number, sample in enumerate(samples):
        rng = generator(seed, "shared questions", sample["id"])
        names = sorted(set(things[number]) - excluded)
        for question in range(num if names else 0):
            name = names[int(rng.integers(len(names)))]
            together = _together(number, name, things, showing[name], num_images, rng)
            if together is None:
                continue
            with reading_sample(root, first + number):
                texts = as_if_shared(FORMS[num_images], sample["objects"][things[number][name]], rng)
            yield {
                "id": f"{sample['id']}-{num_images}-{question}",
                "img_list": [samples[index]["pictures"][0]["file"] for index in together],
                "instruction": texts.instruction,
                "output": texts.output,
            }


def _name(shown: Mapping[str, Any]) -> str:
    return f"{shown['kind']}: {shown['label']}"


def _things(sample: Sample) -> dict[str, int]:
    """Return what an image shows that others can show too, by kind and name -> the place among its objects.

    A thing that it shows twice is left out.
    """
    found: dict[str, list[int]] = defaultdict(list)
    for index, shown in enumerate(sample["objects"]):
        if shown["label"] and not KINDS[shown["kind"]].has_poses and KINDS[shown["kind"]].layout != "flat":
            found[_name(shown)].append(index)
    placed = {entry["object"] for entry in sample["pictures"][0]["objects"]}
    return {name: indices[0] for name, indices in found.items() if len(indices) == 1 and indices[0] in placed}


def _together(
    number: int,
    name: str,
    things: Sequence[Mapping[str, int]],
    showing: Sequence[int],
    num_images: int,
    rng: np.random.Generator,
) -> list[int] | None:
    """Find others that share `name` with this image, and nothing else with all; all of them, in any order, or None."""
    if len(showing) < num_images:
        return None
    for _ in range(_TRIES):
        others = [showing[int(index)] for index in rng.choice(len(showing), num_images, replace=False)]
        together = [number, *(other for other in others if other != number)][:num_images]
        shared = set(things[together[0]]).intersection(*(things[index] for index in together[1:]))
        if shared == {name}:
            return [together[int(index)] for index in rng.permutation(num_images)]
    return None
