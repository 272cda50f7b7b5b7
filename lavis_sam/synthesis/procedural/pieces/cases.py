"""Furniture to put objects into."""

import numpy as np

from lavis_sam.synthesis.procedural.pieces.parts import Built, Look, Piece, ball, bar, board, four_legs, scaled
from lavis_sam.synthesis.procedural.render.paint import Colour, mixed, plain
from lavis_sam.synthesis.procedural.render.surfaces import Surface
from lavis_sam.synthesis.seeds import pick

_SPINES: tuple[Colour, ...] = (
    (176, 58, 52), (46, 92, 150), (224, 186, 86), (66, 122, 84), (232, 226, 212),
    (96, 62, 110), (52, 58, 72), (206, 120, 60), (130, 160, 180),
)  # fmt: skip


def _carcass(look: Look, half: float, height: float, deep: float) -> list[Surface]:
    """Return sides, top, bottom and back."""
    thick = 0.022
    back = plain(mixed(look.main, (0, 0, 0), 0.35))
    return [
        *look.board((-half, 0.0, -deep), (-half + thick, height, deep), along=1),
        *look.board((half - thick, 0.0, -deep), (half, height, deep), along=1),
        *look.board((-half, height - thick, -deep), (half, height, deep)),
        *look.board((-half, 0.0, -deep), (half, thick + 0.02, deep)),
        *board((-half + 0.01, 0.01, -deep), (half - 0.01, height - 0.01, -deep + 0.012), back),
    ]


# Faces of a box: left, right, top, front. Nobody sees its back, or what it stands on.
_SEEN_OF_A_BOOK = (0, 1, 3, 5)


def _books(look: Look, left: float, right: float, low: float, room: float, deep: float) -> list[Surface]:
    """Return a row of books, some of them missing."""
    rng = np.random.Generator(np.random.PCG64(look.seed + int(low * 1000)))
    surfaces, x = [], left + 0.01
    end = right - float(rng.uniform(0.02, 0.25))
    while x < end - 0.05:
        wide, high = float(rng.uniform(0.028, 0.055)), room * float(rng.uniform(0.62, 0.92))
        colour = pick(rng, _SPINES)
        book = board((x, low, -deep + 0.03), (x + wide, low + high, deep - 0.05), plain(colour), 0.05, 0.004)
        surfaces += [book[face] for face in _SEEN_OF_A_BOOK]
        x += wide + 0.002
    return surfaces


def _bookshelf(look: Look) -> Built:
    w, h, d = scaled((0.90, 1.75, 0.32), look)
    half, deep = w / 2, d / 2
    surfaces = _carcass(look, half, h, deep)
    shelves = 5
    for index in range(shelves):
        low = 0.045 + index * (h - 0.06) / shelves
        room = (h - 0.06) / shelves - 0.03
        if index:
            surfaces += look.board((-half + 0.02, low - 0.022, -deep), (half - 0.02, low, deep - 0.005))
        if look.variant == 0 or index % 2:
            surfaces += _books(look, -half + 0.03, half - 0.03, low, room, deep)
    return surfaces, [(-half, half, -deep, deep)]


def _doors(look: Look, half: float, low: float, high: float, front: float, count: int) -> list[Surface]:
    surfaces, wide = [], 2 * half / count
    for index in range(count):
        left = -half + index * wide
        surfaces += look.board(
            (left + 0.006, low, front), (left + wide - 0.006, high, front + 0.018), along=1, radius=0.006
        )
        inset = 0.075
        surfaces += look.board(
            (left + inset, low + inset, front + 0.010),
            (left + wide - inset, high - inset, front + 0.024),
            along=1,
            radius=0.012,
        )
        x = left + wide - 0.045 if index % 2 == 0 else left + 0.045
        middle = (low + high) / 2
        surfaces.append(
            bar([(x, middle - 0.06, front + 0.038), (x, middle + 0.06, front + 0.038)], [0.010] * 2, look.frame(), 0.4)
        )
    return surfaces


def _wardrobe(look: Look) -> Built:
    w, h, d = scaled((1.15, 1.95, 0.58), look)
    half, deep = w / 2, d / 2
    surfaces = _carcass(look, half, h, deep)
    base = 0.36 if look.variant == 1 else 0.08
    surfaces += _doors(look, half - 0.015, base + 0.01, h - 0.035, deep - 0.006, 2)
    surfaces += look.board((-half - 0.02, h - 0.01, -deep), (half + 0.02, h + 0.035, deep + 0.03), radius=0.012)
    if look.variant == 1:
        surfaces += _drawers(look, -half + 0.02, half - 0.02, 0.08, base - 0.005, deep - 0.006, 1)
    return surfaces, [(-half, half, -deep, deep)]


def _drawers(look: Look, left: float, right: float, low: float, high: float, front: float, rows: int) -> list[Surface]:
    surfaces, tall, wide = [], (high - low) / rows, right - left
    for row in range(rows):
        y = low + row * tall
        surfaces += look.board(
            (left + 0.006, y + 0.006, front), (left + wide - 0.006, y + tall - 0.006, front + 0.020), radius=0.007
        )
        for side in (-1, 1) if wide > 0.55 else (0,):
            knob = (left + wide * (0.5 + 0.24 * side), y + tall / 2, front + 0.035)
            surfaces.append(ball(knob, 0.018, look.frame(), 0.4))
    return surfaces


def _chest(look: Look) -> Built:
    w, h, d = scaled((0.95, 0.86, 0.46), look)
    half, deep = w / 2, d / 2
    legs, feet = four_legs(look, half - 0.06, deep - 0.06, 0.14, radius=0.026, splay=0.01)
    surfaces = [*legs, *look.board((-half, 0.12, -deep), (half, h - 0.02, deep))]
    surfaces += look.board((-half - 0.015, h - 0.03, -deep), (half + 0.015, h, deep + 0.02), radius=0.010)
    surfaces += _drawers(look, -half + 0.015, half - 0.015, 0.14, h - 0.04, deep - 0.006, 3 if look.variant == 0 else 4)
    return surfaces, feet


def _nightstand(look: Look) -> Built:
    w, h, d = scaled((0.46, 0.58, 0.40), look)
    half, deep = w / 2, d / 2
    legs, feet = four_legs(look, half - 0.045, deep - 0.045, 0.16, radius=0.020, splay=0.02)
    surfaces = [*legs, *look.board((-half, 0.15, -deep), (half, h, deep), radius=0.008)]
    surfaces += _drawers(look, -half + 0.012, half - 0.012, 0.165, h - 0.02, deep - 0.006, 2)
    return surfaces, feet


def _cabinet(look: Look) -> Built:
    w, h, d = scaled((1.45, 0.74, 0.44), look)
    half, deep = w / 2, d / 2
    legs, feet = four_legs(look, half - 0.10, deep - 0.07, 0.18, radius=0.022, splay=0.03)
    surfaces = [*legs, *look.board((-half, 0.16, -deep), (half, h, deep), radius=0.008)]
    third = w / 3
    surfaces += _drawers(look, -third / 2, third / 2, 0.175, h - 0.025, deep - 0.006, 3)
    for side in (-1, 1):
        left = -half + 0.012 if side < 0 else third / 2
        right = -third / 2 if side < 0 else half - 0.012
        surfaces += look.board(
            (left + 0.006, 0.18, deep - 0.006), (right - 0.006, h - 0.03, deep + 0.014), along=1, radius=0.007
        )
        surfaces.append(
            ball((right - 0.05 if side < 0 else left + 0.05, (h + 0.16) / 2, deep + 0.03), 0.016, look.frame(), 0.4)
        )
    return surfaces, feet


CASES: dict[str, Piece] = {
    "bookshelf": Piece(_bookshelf, 0.95, 1.75, ("wood", "painted"), ("full of books", "with a few books")),
    "wardrobe": Piece(_wardrobe, 1.20, 1.98, ("wood", "painted"), ("with two doors", "with two doors and a drawer")),
    "chest of drawers": Piece(_chest, 0.95, 0.86, ("wood", "painted"), ("", "")),
    "nightstand": Piece(_nightstand, 0.50, 0.58, ("wood", "painted"), ("with two drawers",)),
    "sideboard": Piece(_cabinet, 1.45, 0.74, ("wood", "painted")),
}
