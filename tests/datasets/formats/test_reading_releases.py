"""Every data set's miniature, read from its own release: exactly the expected samples, problems and repairs."""

from collections import Counter

import pytest

from helpers.release_parts import Expected, Miniature
from helpers.releases import MINIATURES
from lavis_sam.datasets.catalogue import CATALOGUE
from lavis_sam.datasets.formats.reading import read_dataset
from lavis_sam.datasets.prompts import Prompts
from lavis_sam.datasets.sample import MultiImageSample


@pytest.fixture(params=list(MINIATURES))
def miniature(request, tmp_path):
    return MINIATURES[request.param](tmp_path / "a folder")


def assert_is(sample: MultiImageSample, expected: Expected, name: str) -> None:
    assert (str(sample.id), sample.images) == (expected.id, expected.images)
    assert (sample.output, sample.references) == (expected.output, expected.references)
    assert sample.instruction.endswith(expected.context)
    said = sample.instruction.removesuffix(expected.context)
    phrasings = Prompts(CATALOGUE[name].task).phrasings
    assert name == "mmlink" or said in {phrase.replace("{number}", "five") for phrase in phrasings}


def assert_problems(problems, wanted: Miniature) -> None:
    assert Counter(problem.kind for problem in problems) == wanted.problems


def test_there_is_a_miniature_for_each_format():
    assert set(MINIATURES) == set(CATALOGUE) - {"own"}  # a user's own data are in mmlink's format, the unified one


def test_everything_at_once(miniature):
    report = read_dataset(miniature.name, miniature.annotations, miniature.images, check="full")
    expected = [(split, sample) for split, samples in miniature.samples.items() for sample in samples]
    found = list(zip(report.splits, report.samples, strict=True))
    key = {"train": 0, "val": 1, "test": 2, None: 3}
    found.sort(key=lambda item: key[item[0]])
    assert [str(sample.id) for _, sample in found] == [sample.id for _, sample in expected]
    for (_, sample), (_, wanted) in zip(found, expected, strict=True):
        assert_is(sample, wanted, miniature.name)
    assert_problems(report.problems, miniature)
    for words, count in miniature.repairs.items():
        assert sum(number for what, number in report.repairs.items() if words in what) == count, report.repairs
    assert bool(report.repairs) == bool(miniature.repairs)


@pytest.mark.parametrize("check", ["quick", "full"])
def test_split_by_split(miniature, check):
    for split, storage in miniature.storages.items():
        report = read_dataset(miniature.name, [storage], miniature.images, split=split, check=check)
        assert len(report.samples) == len(miniature.samples[split]), report.verdict()
        for sample, wanted in zip(report.samples, miniature.samples[split], strict=True):
            assert_is(sample, wanted, miniature.name)
