"""Invented books and their covers."""

import dataclasses

import numpy as np
import pytest

from lavis_sam.errors import SamConfigurationError
from lavis_sam.synthesis.procedural.covers import draw_cover, sample_book
from lavis_sam.synthesis.procedural.genres import GENRES
from lavis_sam.synthesis.procedural.icons import icon_names


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_cover_is_a_function_of_the_book():
    book = sample_book(rng())
    cover = draw_cover(book, 96)
    assert cover.shape == (96, 64, 3)
    assert (cover == draw_cover(book, 96)).all()
    assert (cover != draw_cover(dataclasses.replace(book, title="Quite Another Title"), 96)).any()


@pytest.mark.parametrize("genre", GENRES)
def test_every_genre_has_covers_with_letters(genre):
    book = sample_book(rng(3), genre=genre)
    assert book.genre == genre
    assert book.words() == {"title": book.title, "author": book.author, "genre": genre}
    assert draw_cover(book, 96).std() > 8
    assert set(GENRES[genre].subjects) <= set(icon_names("all"))


def test_author_and_genre_can_be_asked_for():
    book = sample_book(rng(), author="Anna Bexley", genre="poetry")
    assert (book.author, book.genre) == ("Anna Bexley", "poetry")
    with pytest.raises(SamConfigurationError, match="westerns"):
        sample_book(rng(), genre="westerns")
    with pytest.raises(SamConfigurationError, match="size"):
        draw_cover(book, 10)


def test_titles_and_surnames_of_the_splits_are_apart():
    books = {split: [sample_book(rng(seed), split) for seed in range(80)] for split in ("train", "held_out")}
    titles = {split: {book.title for book in found} for split, found in books.items()}
    surnames = {split: {book.author.split()[-1] for book in found} for split, found in books.items()}
    assert not titles["train"] & titles["held_out"]
    assert not surnames["train"] & surnames["held_out"]
