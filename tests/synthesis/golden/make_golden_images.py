"""Draws the golden images of the synthesis; `python tests/synthesis/golden/make_golden_images.py` writes them anew.

Look at every image that changes (`git diff` shows them side by side): they are what the drawn world is meant to be.
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lavis_sam.synthesis.backends.u2net import segment
from lavis_sam.synthesis.procedural.characters import draw_character, sample_character
from lavis_sam.synthesis.procedural.compositor import PlacedLayer, compose, ground_shadow
from lavis_sam.synthesis.procedural.covers import draw_cover, sample_book
from lavis_sam.synthesis.procedural.furniture import draw_furniture, sample_furniture
from lavis_sam.synthesis.procedural.icons import load_icon
from lavis_sam.synthesis.procedural.scenes import SceneView, render_background
from lavis_sam.synthesis.records import Actor, ImagePlan, Segment
from lavis_sam.synthesis.sources.studio import photograph
from lavis_sam.synthesis.stages.composite import grid, scene
from lavis_sam.synthesis.stages.segment import cut_out

FOLDER = Path(__file__).parent
SIDE = 96


def rng(seed=0):
    return np.random.default_rng(seed)


def character(seed, pose, turn):
    return draw_character(sample_character(rng(seed)), pose, SIDE - 8, turn=turn)


def piece(kind, azimuth, seed=0):
    return draw_furniture(sample_furniture(rng(seed), kind=kind), azimuth, 12, SIDE - 8)


def cover(genre):
    return draw_cover(sample_book(rng(4), genre=genre), SIDE)


def chair():
    rgba = np.zeros((SIDE, SIDE, 4), np.uint8)
    rgba[34:74, 38:64] = cv2.resize(piece("chair", 30).rgba, (26, 40))
    return PlacedLayer(rgba)


def shadow(light, strength):
    ground = np.full((SIDE, SIDE, 3), 190, np.uint8)
    view = SceneView(ground, 0.15 * SIDE, light, strength, indoors=False, focal=90.0)
    slab = np.zeros((SIDE, SIDE, 4), np.uint8)
    slab[10:70, 30:66] = (200, 60, 40, 255)
    return np.rint(ground_shadow(PlacedLayer(slab), view) * 255).astype(np.uint8)


def placed_in_scene():
    view = render_background("forest", 40.0, 0.0, 70.0, SIDE, horizon=0.3)
    return compose([chair()], view)


def standing_together():
    drawn = [character(2, "waving", 10.0), piece("armchair", -35.0)]
    segments = [Segment(cutout.rgba, cutout.contacts) for cutout in drawn]
    plan = ImagePlan("scene", (Actor(0, 0, "main"), Actor(1, 0, "companion")))
    return scene(plan, segments, [cutout.metres for cutout in drawn], rng(3), SIDE, 127).canvas


def icons_in_grid():
    names = ("rose", "key", "owl", "rocket", "crown", "compass")
    plan = ImagePlan("grid", tuple(Actor(index, 0, "main") for index in range(len(names))))
    return grid(plan, [Segment(load_icon(name)) for name in names], rng(1), SIDE).canvas


def segmented(seed=2):
    view = photograph(character(seed, "standing", 15.0), rng(seed), "", "", {})
    return np.rint(segment(view.image, side=128) * 255).astype(np.uint8)


def cut_from_soft_mask():
    """A ramp from 0 to 1 over a third of the image shows where the edge of an object is taken to be."""
    across = np.linspace(-1, 1, SIDE, dtype=np.float32)
    soft = np.clip(1.4 - 1.2 * np.hypot(across[:, None], across[None, :]), 0, 1)
    return cut_out(cover("poetry").repeat(2, axis=1)[:SIDE, :SIDE], soft, exact=False).rgba


IMAGES = {
    "character_waving": lambda: character(2, "waving", 10.0).rgba,
    "character_sitting": lambda: character(5, "sitting", -30.0).rgba,
    "furniture_chair": lambda: piece("chair", 30.0).rgba,
    "furniture_bookshelf": lambda: piece("bookshelf", -40.0).rgba,
    "cover_science_fiction": lambda: cover("science fiction"),
    "cover_history": lambda: cover("history"),
    "icons_in_grid": icons_in_grid,
    "scene_forest": lambda: render_background("forest", 40.0, 0.0, 70.0, SIDE, horizon=0.4).rgb,
    "scene_workshop": lambda: render_background("workshop", 215.0, 0.0, 90.0, SIDE, horizon=0.35).rgb,
    "shadow_of_a_hard_light": lambda: shadow((0.5, 0.7, 0.5), 1.0),
    "shadow_of_a_soft_light": lambda: shadow((-0.4, 0.8, 0.45), 0.1),
    "placed_in_scene": placed_in_scene,
    "standing_together": standing_together,
    "segmented": segmented,
    "cut_from_soft_mask": cut_from_soft_mask,
}


if __name__ == "__main__":
    for name, make in IMAGES.items():
        Image.fromarray(make()).save(FOLDER / f"{name}.png", optimize=True)
