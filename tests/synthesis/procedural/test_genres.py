"""Genres name only what is there: artists, fonts and icons; and every pattern has its words."""

from string import Template

import pytest

from lavis_sam.synthesis.procedural.cover_art import ARTISTS
from lavis_sam.synthesis.procedural.genres import GENRES
from lavis_sam.synthesis.procedural.icons import icon_names, load_icon


@pytest.mark.parametrize("name", GENRES)
def test_a_genre_names_what_is_there(name):
    genre = GENRES[name]
    assert set(genre.art) <= set(ARTISTS)
    assert genre.a
    assert genre.b
    for title in genre.titles:
        assert "$" not in Template(title).substitute(a=genre.a[0], b=genre.b[0])
    for subject in genre.subjects:
        assert load_icon(subject).shape[2] == 4
    assert icon_names("train")
