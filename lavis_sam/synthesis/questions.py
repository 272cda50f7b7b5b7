"""More questions about a finished data set of single images, from what samples.jsonl knows of each.

Drawing an image costs a hundred times as much as asking about it, and a small base that is trained from nothing needs
many questions: `questions.json` holds several an image, `questions_val.json` those about images kept for validation.

Some are asked as if about several images ("Which icon do the two images share?", "What has changed?", the last panel
of a story) and answered for the one: a large language model knows such sentences before it sees any image, a small one
has to meet their words somewhere.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lavis_sam.errors import SamConfigurationError, SamDataError
from lavis_sam.files import atomic_path, to_json
from lavis_sam.synthesis.dataset_writer import SAMPLES, read_lines
from lavis_sam.synthesis.finished import reading_sample
from lavis_sam.synthesis.forms import Texts
from lavis_sam.synthesis.forms.captions import QUESTIONS as ALL_QUESTIONS
from lavis_sam.synthesis.forms.captions import Contents, Shown
from lavis_sam.synthesis.kinds import KINDS
from lavis_sam.synthesis.phrases import Phrases, sentence, with_article
from lavis_sam.synthesis.records import DEFAULT_ACTION
from lavis_sam.synthesis.seeds import generator, pick

Read = TypeVar("Read")
QUESTIONS, VALIDATION = "questions.json", "questions_val.json"
# What only a model that reads letters can answer; a small one cannot at 112 pixels.
READING = ("author", "cover")
# How often an identical question is drawn again before the image has fewer.
_TRIES = 4
# How often a question is asked as if about several images, and the forms whose sentences it has then.
_SEVERAL, _FORMS = 0.4, ("pairs", "groups", "changes", "stories")
# Of something not in the image, to be asked for: how often, of the questions about presence.
_ABSENT = 0.5


def write_questions(root: Path, *, num: int, seed: int = 0, validation: float = 0.04) -> tuple[int, int]:
    """Write ROOT/questions.json and ROOT/questions_val.json in the unified format, one record a question.

    A record's id is the sample's id and a number: "000017-3".

    Args:
        root: A finished data set of the form `captions`.
        num: Questions about an image; fewer where not so many differ.
        seed: What is asked depends on it alone.
        validation: The share of the images, the last ones, whose questions go into questions_val.json.

    Returns:
        How many questions the two files hold.

    Raises:
        SamConfigurationError: An impossible number or share.
        SamDataError: No such data set, one of another form, or a damaged one.
    """
    if num < 1 or seed < 0 or not 0 <= validation < 1:
        raise SamConfigurationError(
            f"found num {num}, seed {seed} and a validation share of {validation}; wanted num of at least 1, seed of "
            "at least 0 and a share from 0 to below 1."
        )
    samples = read_single_images(root)
    first_kept = len(samples) - round(len(samples) * validation)
    counts = []
    for name, lines in ((QUESTIONS, range(first_kept)), (VALIDATION, range(first_kept, len(samples)))):
        counts.append(write_records(root / name, _records(root, lines, num, seed, samples)))
    return counts[0], counts[1]


def read_samples(root: Path, read: Callable[[dict[str, Any]], Read], wanted: str = "") -> list[Read]:
    """Return what `read` makes of each sample of a finished data set of any form.

    Raises:
        SamDataError: No such data set, and `wanted` says which options make one; or a damaged one.
    """
    if not (root / SAMPLES).is_file():
        raise SamDataError(f"{root}: no {SAMPLES}; wanted a folder that `lavis-sam synthesize{wanted}` made.")
    found = []
    for line, sample in enumerate(read_lines(root / SAMPLES), start=1):
        with reading_sample(root, line):
            found.append(read(sample))
    return found


def read_single_images(root: Path) -> list[dict[str, Any]]:
    """Return the samples of a finished data set of single images.

    Raises:
        SamDataError: No such data set, one of another form, or a damaged one.
    """

    def read(sample: dict[str, Any]) -> dict[str, Any]:
        if sample["form"] != "captions":
            raise SamDataError(f"{root}: sample {sample['id']} has the form {sample['form']!r}; wanted captions.")
        _check(sample)
        return sample

    return read_samples(root, read, " --config captions")


def _check(sample: Mapping[str, Any]) -> None:
    """Raise what is wrong with a sample, which lends its objects to the questions about others as well."""
    image = sample["pictures"][0]
    texts = [sample["id"], image["file"], image["background"]["place"]]
    texts += [obj[key] for obj in sample["objects"] for key in ("label", "noun", "description")]
    texts += [KINDS[obj["kind"]].suffix for obj in sample["objects"]]
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"found {text!r}, wanted a text")
    _contents(sample, _reading_order(image, KINDS[sample["kind"]].layout), None)


def write_records(path: Path, records: Iterator[dict[str, Any]]) -> int:
    """Write a JSON list, one record a line, and count them."""
    count = 0
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write("[")
        for record in records:
            file.write((",\n" if count else "\n") + to_json(record, indent=None))
            count += 1
        file.write("\n]\n")
    return count


def _records(root: Path, lines: range, num: int, seed: int, samples: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the records of some of the samples, which are named by their place among all."""
    for line in lines:
        with reading_sample(root, line + 1):
            records = list(_ask(samples[line], num, seed, samples))
        yield from records


def _ask(sample: Mapping[str, Any], num: int, seed: int, samples: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the records of a sample; each question is about any of its objects."""
    rng = generator(seed, "questions", sample["id"])
    asked: list[Texts] = []
    for _ in range(num * _TRIES):
        order = _reading_order(sample["pictures"][0], KINDS[sample["kind"]].layout)
        main = order[int(rng.integers(len(order)))]
        if rng.random() < _SEVERAL:
            texts: Texts | None = _as_if_of_several(sample, samples, main, rng)
        else:
            texts = _about_the_image(sample, samples, order, main, rng)
        if texts is not None and texts not in asked:
            asked.append(texts)
        if len(asked) == num:
            break
    for number, texts in enumerate(asked):
        yield {
            "id": f"{sample['id']}-{number}",
            "img_list": [image["file"] for image in sample["pictures"]],
            "instruction": texts.instruction,
            "output": texts.output,
        }


def _about_the_image(
    sample: Mapping[str, Any], samples: list[dict[str, Any]], order: list[int], main: int, rng: np.random.Generator
) -> Texts | None:
    """Return a question about the image or one of its objects, `main`; None where the one drawn cannot be asked."""
    kind = KINDS[sample["objects"][main]["kind"]]
    question = pick(rng, [name for name in kind.questions if name not in READING])
    absent = None
    if rng.random() < _ABSENT:
        absent = _absent(sample, samples[int(rng.integers(len(samples)))])
    if question == "presence" or kind.layout == "scene":
        order = [main, *(index for index in order if index != main)]
    return ALL_QUESTIONS[question](_contents(sample, order, absent), Phrases.load("captions"), rng)


def _as_if_of_several(
    sample: Mapping[str, Any], samples: list[dict[str, Any]], main: int, rng: np.random.Generator
) -> Texts | None:
    """Return a question of another form, answered with an object; None where that form has none about it."""
    form, obj = pick(rng, _FORMS), sample["objects"][main]
    if form == "changes":
        return _as_if_changed(obj, rng)
    if form == "stories":
        return _as_if_a_story(sample, samples, main, rng)
    return as_if_shared(form, obj, rng)


def _as_if_changed(obj: Mapping[str, Any], rng: np.random.Generator) -> Texts | None:
    """Return a question about a change, answered with an object that came or went."""
    if not obj["label"] or KINDS[obj["kind"]].layout == "flat":
        return None
    label = obj["label"] + KINDS[obj["kind"]].suffix
    facts = {"the_object": f"the {label}", "The_object": f"The {label}"}
    facts |= {"an_object": with_article(label), "An_object": sentence(with_article(label))[:-1]}
    change, style, phrases = pick(rng, ("added", "removed")), pick(rng, ("difference", "edit")), Phrases.load("changes")
    instruction = phrases.pick(rng, "prompt", style, {})
    return Texts(instruction, sentence(phrases.pick(rng, change, style, facts)), (label,))


def _as_if_a_story(
    sample: Mapping[str, Any], samples: list[dict[str, Any]], main: int, rng: np.random.Generator
) -> Texts | None:
    """Return a story whose last panel is this image; the first caption names its character, and leads elsewhere."""
    image, obj = sample["pictures"][0], sample["objects"][main]
    if not KINDS[obj["kind"]].has_poses or not image["background"]["place"]:
        return None
    phrases = Phrases.load("stories")
    name = pick(rng, phrases.entries["names"][obj["attributes"].get("person", "person")])
    view = next(placed["view"] for placed in image["objects"] if placed["object"] == main)
    action = obj["views"][view]["attributes"].get("pose", DEFAULT_ACTION)
    facts = {"name": name, "action": action, "place": image["background"]["place"]}
    elsewhere = samples[int(rng.integers(len(samples)))]["pictures"][0]["background"]["place"]
    before = {"name": name, "action": DEFAULT_ACTION, "place": elsewhere or facts["place"]}
    captions = (phrases.pick(rng, "story", purpose, before) for purpose in ("instruction", "first"))
    return Texts("Caption#1:".join(captions) + "Caption#2:", phrases.pick(rng, "story", "last", facts), (name, action))


def as_if_shared(form: str, obj: Mapping[str, Any], rng: np.random.Generator) -> Texts:
    """Ask in the words of a form (`pairs`, `groups`) what several images share, and answer with an object."""
    kind, phrases = KINDS[obj["kind"]], Phrases.load(form)
    key = kind.phrases + ("_genre" if kind.layout == "flat" else "")  # the genre is what can be seen of a book
    facts = {**obj["attributes"], "description": obj["description"]}
    instruction = phrases.pick(rng, key, "instruction", facts)
    return Texts(instruction, sentence(phrases.pick(rng, key, "answer", facts)), tuple(obj["told"]))


def _reading_order(image: Mapping[str, Any], layout: str) -> list[int]:
    """Return the objects of an image; those of a grid line by line, as a reader would name them."""
    placed = sorted((entry["object"], entry["box"]) for entry in image["objects"])
    if layout != "grid":
        return [index for index, _ in placed]
    middle = image["objects"][0]["mask"]["size"][0] / 2
    return [index for _, _, index in sorted((y + height / 2 > middle, x, index) for index, (x, y, _, height) in placed)]


def _absent(sample: Mapping[str, Any], other: Mapping[str, Any]) -> Shown | None:
    """Return the main object of another sample, if it is of this kind and not in this image."""
    candidate = other["objects"][0]
    own = [sample["objects"][placed["object"]]["label"] for placed in sample["pictures"][0]["objects"]]
    if candidate["kind"] != sample["kind"] or candidate["label"] in own:
        return None
    return _shown(candidate, 0, None)


def _contents(sample: Mapping[str, Any], order: list[int], absent: Shown | None) -> Contents:
    """Return what the one image of a sample shows, the objects in the given order."""
    image = sample["pictures"][0]
    placed = {entry["object"]: entry for entry in image["objects"]}
    objects = tuple(
        _shown(sample["objects"][index], placed[index]["view"], tuple(placed[index]["box"])) for index in order
    )
    facts = sample["objects"][order[0]]["views"][0]["attributes"]
    return Contents(objects, image["background"]["place"], facts, absent)


def _shown(obj: Mapping[str, Any], view: int, box: tuple[int, ...] | None) -> Shown:
    label = obj["label"]
    return Shown(
        label=label,
        name=label and label + KINDS[obj["kind"]].suffix,
        noun=obj["noun"],
        description=obj["description"],
        attributes=obj["attributes"],
        required=tuple(obj["told"]),
        action=obj["views"][view]["attributes"].get("pose", DEFAULT_ACTION),
        span=(box[0], box[0] + box[2]) if box else None,
    )
