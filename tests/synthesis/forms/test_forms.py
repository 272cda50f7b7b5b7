"""What holds for every form: texts are diverse."""

import pytest

from helpers.forms import drafts


@pytest.mark.parametrize("form", ["pairs", "groups", "changes", "captions"])
def test_texts_are_diverse(form):
    made = drafts(form, "icons")
    assert len({draft.instruction for draft in made}) >= 8
    assert len({draft.output for draft in made}) >= 0.5 * len(made)
