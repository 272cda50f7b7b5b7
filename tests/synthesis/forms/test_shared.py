"""Pairs and groups: one object is shared and named."""

import pytest

from helpers.forms import drafts, looks
from lavis_sam.synthesis.quality import mentions


@pytest.mark.parametrize(("form", "count"), [("pairs", 2), ("groups", 5)])
@pytest.mark.parametrize("kind", ["characters", "furniture", "icons"])
def test_one_object_is_shared_and_every_other_one_is_not(form, count, kind):
    for draft in drafts(form, kind, 24):
        assert len(draft.images) == count
        main = draft.plan.objects[0]
        everywhere = set.intersection(*(set(looks(draft, k)) for k in range(count)))
        assert everywhere == {main.label}
        if form == "pairs":
            assert set(looks(draft, 0)) & set(looks(draft, 1)) == {main.label}
        for word in main.required_words:
            assert mentions(draft.output, word)
        assert draft.output.endswith(".")


@pytest.mark.parametrize("form", ["pairs", "groups"])
def test_answers_about_books_name_what_they_share(form):
    for draft in drafts(form, "covers", 24):
        assert draft.plan.images[0].layout == "flat"
        facts = draft.plan.objects[0].attributes
        assert mentions(draft.output, facts["author"])
        assert mentions(draft.output, facts["genre"])


def test_the_shared_object_is_seen_from_another_side():
    for draft in drafts("pairs", "characters", 12):
        assert [image.actors[0].view for image in draft.plan.images] == [0, 1]
