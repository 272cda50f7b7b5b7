"""What is known of the panoramas: words, ground, and where on it objects can stand. Read off the images by eye.

Angles are in degrees. Azimuths go to the right from the middle of a panorama; an edge is how far below the horizon the
free ground ends at a wall, a machine, the water; below it, nearer to the camera, the ground is free.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lavis_sam.synthesis.procedural.render.arrays import Array

ALL_ROUND = ((0.0, 360.0),)


@dataclass(frozen=True)
class Scene:
    """A place.

    Attributes:
        indoors: Whether there is a roof.
        grain: Strength of the ground's grain: 0.03 planks, 0.3 grass.
        edges: (azimuth, edge) all around; straight lines lie between them.
        views: Ranges of azimuths worth looking at.
        held_out: Whether it is kept for evaluation.
        brightness: Exponent of a curve that brightens it (above 1), so that well-lit objects do not look out of place.
    """

    words: tuple[str, ...]
    indoors: bool
    grain: float
    edges: tuple[tuple[float, float], ...]
    views: tuple[tuple[float, float], ...] = ALL_ROUND
    held_out: bool = False
    brightness: float = 1.0

    def edge(self, azimuth: Array | float) -> Array:
        """Return the edge in the directions `azimuth` [...]."""
        places, edges = zip(*self.edges, strict=True)
        return np.interp(np.asarray(azimuth), places, edges, period=360.0)


SCENES: Mapping[str, Scene] = {
    "apartment": Scene(
        ("apartment",), True, 0.03,
        ((0, 33), (30, 34), (60, 29), (80, 22), (100, 25), (120, 28), (140, 25), (160, 21), (190, 27), (225, 27),
         (235, 31), (242, 31), (248, 21), (270, 26), (290, 30), (310, 22), (330, 22), (342, 30)),
    ),
    "bridge": Scene(
        ("glass bridge",), True, 0.02,
        ((0, 16), (25, 9), (45, 3), (65, 8), (80, 14), (100, 20), (125, 25), (140, 25), (165, 22), (190, 17), (205, 11),
         (226, 3), (250, 12), (270, 20), (300, 25), (330, 24)),
    ),
    "city": Scene(
        ("city",), False, 0.13,
        ((0, 26), (25, 26), (35, 11), (50, 5), (66, 6), (70, 12), (76, 6), (210, 7), (218, 10), (236, 12), (242, 7),
         (290, 8), (296, 34), (306, 34), (312, 9), (334, 9), (340, 40), (356, 40)),
        ((55, 200), (240, 280)),
    ),
    "dawn": Scene(
        ("desert",), False, 0.20,
        ((0, 30), (30, 33), (60, 33), (90, 32), (110, 30), (130, 20), (150, 10), (170, 10), (190, 15), (210, 21),
         (230, 25), (260, 25), (290, 22), (320, 22), (340, 25)),
        ((120, 340),), held_out=True,
    ),
    "esplanade": Scene(
        ("shopping centre",), True, 0.04,
        ((0, 22), (30, 22), (70, 22), (80, 25), (86, 60), (268, 60), (274, 17), (300, 13), (320, 13), (335, 18)),
        ((15, 60), (288, 350)), held_out=True,
    ),
    "forest": Scene(("forest",), False, 0.20, ((0, 22),)),
    "hall": Scene(("ballroom",), True, 0.04, ((0, 9),), held_out=True),
    "lobby": Scene(
        ("lobby",), True, 0.03,
        ((0, 50), (36, 48), (40, 14), (60, 16), (80, 12), (105, 14), (125, 22), (133, 28), (145, 27), (160, 24),
         (178, 19), (190, 24), (194, 33), (204, 33), (210, 21), (230, 26), (234, 58), (290, 58), (298, 45), (303, 22),
         (315, 18), (328, 26), (334, 52)),
        ((60, 112),),
    ),
    "night": Scene(("savanna", "night"), False, 0.18, ((0, 7),), brightness=1.45),
    "park": Scene(("meadow",), False, 0.22, ((0, 5),)),
    "sky": Scene(("salt flat",), False, 0.03, ((0, 3),)),
    "studio": Scene(
        ("photo studio",), True, 0.01,
        ((0, 50), (130, 48), (205, 47), (225, 40), (231, 26), (234, 14), (302, 14), (306, 30), (312, 44)),
        ((258, 280),),
    ),
    "sunrise": Scene(("field", "sunrise"), False, 0.18, ((0, 7),)),
    "sunset": Scene(("square", "Venice"), False, 0.12, ((0, 10), (20, 10), (170, 9), (300, 10), (310, 13), (330, 11))),
    "venice": Scene(
        ("waterfront",), False, 0.14,
        ((0, 28), (15, 60), (165, 60), (172, 22), (182, 10), (195, 7), (330, 7), (345, 9)),
        ((205, 325),), held_out=True,
    ),
    "warehouse": Scene(("warehouse",), True, 0.07, ((0, 14), (110, 12), (145, 17), (170, 17), (270, 16), (305, 18))),
    "workshop": Scene(
        ("workshop",), True, 0.05,
        ((0, 22), (20, 16), (60, 17), (100, 18), (120, 22), (130, 14), (145, 20), (158, 40), (196, 42), (200, 26),
         (208, 16), (230, 14), (238, 32), (286, 38), (294, 20), (300, 14), (312, 15), (318, 26), (345, 26)),
        ((20, 140), (206, 230), (296, 312)), held_out=True,
    ),
}  # fmt: skip
