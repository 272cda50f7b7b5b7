import numpy as np
import pytest

from helpers.synthesis import shape_mask
from lavis_sam.errors import SamDataError
from lavis_sam.synthesis.quality import composite_scores
from lavis_sam.synthesis.records import Actor, ImagePlan, Segment
from lavis_sam.synthesis.stages.composite import flat, flatten, grid, over, place, scene, turn

SIZE, FILL = 256, 127


def cutout(colour=(200, 30, 30), shape="disc", width=60, height=90):
    alpha = shape_mask(shape, 90)[:height, :width]
    rgba = np.zeros((*alpha.shape, 4), np.uint8)
    rgba[..., :3] = colour
    rgba[..., 3] = alpha * 255
    rows, columns = np.nonzero(alpha)
    return Segment(rgba[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1], (((30.0, 80.0),),))


def two(paired_with=None, places=(None, None)):
    actors = (Actor(0, 0, "main", place_of=places[0]), Actor(1, 0, "companion", place_of=places[1]))
    return ImagePlan("scene", actors, paired_with)


def make(seed, image=None, paired=None, heights=(1.7, 0.8), cutouts=None):
    shapes = cutouts or [cutout(), cutout((20, 90, 200), "box", 90, 60)]
    image = image or two()
    used = [shapes[actor.object] for actor in image.actors]
    metres = [heights[actor.object] for actor in image.actors]
    return scene(image, used, metres, np.random.default_rng(seed), SIZE, FILL, paired)


def test_scenes_meet_their_own_quality_checks():
    for seed in range(60):
        made = make(seed)
        scores = composite_scores(made.layers)
        assert min(scores["composite.inside"]) > 0.995, seed
        assert max(scores["composite.overlap"]) <= 0.1, seed
        assert min(scores["composite.visible"]) >= 0.01, seed


def test_positions_and_sizes_are_diverse():
    mains = [next(layer for layer in make(seed).layers if layer.actor.object == 0) for seed in range(80)]
    heights = np.array([layer.box[3] for layer in mains]) / SIZE
    middles = np.array([layer.box[0] + layer.box[2] / 2 for layer in mains]) / SIZE
    assert np.ptp(heights) > 0.3
    assert middles.min() < 0.25
    assert middles.max() > 0.75


def test_sizes_follow_from_one_ground():
    """An object's height in pixels is its real height times what a metre measures where its feet are."""
    for seed in range(30):
        made = make(seed)
        for layer in made.layers:
            feet = (layer.box[1] + layer.box[3]) / SIZE
            metre = (feet - made.horizon) / made.camera_height
            assert layer.box[3] / SIZE == pytest.approx((1.7, 0.8)[layer.actor.object] * metre, abs=0.02)


def test_the_nearer_one_is_in_front():
    for seed in range(30):
        feet = [layer.box[1] + layer.box[3] for layer in make(seed).layers]
        assert feet == sorted(feet)


def test_a_wide_sofa_fits():
    wide = cutout((20, 90, 200), "box", 90, 30)
    for seed in range(20):
        made = make(seed, heights=(0.8, 1.7), cutouts=[wide, cutout()])
        assert min(composite_scores(made.layers)["composite.inside"]) > 0.995


def test_the_same_seed_gives_the_same_image():
    assert (make(5).canvas == make(5).canvas).all()
    assert (make(5).canvas != make(6).canvas).any()


def test_paired_images_keep_camera_and_places_and_what_is_new_gets_its_own():
    first = make(1)
    second = make(2, two(0, (0, None)), paired=first)
    boxes = [{layer.actor.object: layer.box for layer in made.layers} for made in (first, second)]
    assert boxes[0][0] == boxes[1][0]
    assert boxes[0][1] != boxes[1][1]
    assert (first.horizon, first.camera_height) == (second.horizon, second.camera_height)


def test_a_changed_object_stands_where_the_old_one_stood():
    first = make(1)
    plan = ImagePlan("scene", (Actor(2, 0, "main", place_of=0), Actor(1, 0, "companion", place_of=1)), 0)
    narrow = cutout((0, 200, 0), "box", 70, 90)
    shapes = [cutout(), cutout((20, 90, 200), "box", 90, 60), narrow]
    second = make(2, plan, first, (1.7, 0.8, 1.7), shapes)
    old = next(layer for layer in first.layers if layer.actor.object == 0).box
    new = next(layer for layer in second.layers if layer.actor.object == 2).box
    assert abs(new[3] - old[3]) <= 1
    assert new[1] + new[3] == old[1] + old[3]
    assert abs((new[0] + new[2] / 2) - (old[0] + old[2] / 2)) <= 1


def test_what_replaces_an_object_has_the_size_that_the_camera_sees_there():
    first = make(1)
    plan = ImagePlan("scene", (Actor(2, 0, "main", place_of=0), Actor(1, 0, "companion", place_of=1)), 0)
    for metres in (0.85, 1.7):
        wide = cutout((0, 200, 0), "box", 90, 40)
        second = make(2, plan, first, (1.7, 0.8, metres), [cutout(), cutout((20, 90, 200), "box", 90, 60), wide])
        old = next(layer for layer in first.layers if layer.actor.object == 0).box
        new = next(layer for layer in second.layers if layer.actor.object == 2).box
        assert abs(new[3] - old[3] * metres / 1.7) <= 1
        assert new[1] + new[3] == old[1] + old[3]


def test_colours_are_not_mixed_with_the_fill():
    made = make(3)
    inside = made.alpha > 0.5
    distances = [abs(made.colour[inside].astype(int) - colour).max(axis=1) for colour in ((200, 30, 30), (20, 90, 200))]
    assert np.minimum(*distances).max() <= 2
    assert (made.canvas[made.alpha == 0] == FILL).all()


def test_over_is_exact_inside_and_outside():
    made = make(3)
    background = np.full_like(made.canvas, 9)
    pasted = over(made.colour, made.alpha, background)
    assert (pasted[made.alpha == 0] == 9).all()
    assert (pasted[made.alpha == 1] == made.colour[made.alpha == 1]).all()


def test_layers_over_layers():
    white, half = np.full((4, 4, 4), 255, np.uint8), np.full((4, 4, 4), 128, np.uint8)
    half[..., :3] = 0
    stack = [place(Actor(k, 0, "main"), Segment(rgba), (0, 0, 4, 4), 4) for k, rgba in enumerate((white, half))]
    made = flatten(stack, 4, 4, FILL, 0.5, 1.0)
    assert made.alpha.min() == 1.0
    assert made.canvas[0, 0, 0] == pytest.approx(127, abs=1)


def test_contacts_move_with_the_object():
    layer = place(
        Actor(0, 0, "main"), Segment(np.full((10, 20, 4), 255, np.uint8), (((5.0, 10.0),),)), (30, 40, 40, 20), 100
    )
    assert layer.contacts == (((40.0, 60.0),),)


def icons(count=6):
    return [cutout((40 * k, 200 - 30 * k, 90), ("disc", "box", "ring", "drop")[k % 4], 80, 80) for k in range(count)]


def grid_plan(count=6, places=None, paired_with=None):
    actors = tuple(Actor(k, 0, "main", place_of=None if places is None else places[k]) for k in range(count))
    return ImagePlan("grid", actors, paired_with)


def test_icons_stand_apart_on_white():
    for seed in range(20):
        made = grid(grid_plan(), icons(), np.random.default_rng(seed), SIZE)
        scores = composite_scores(made.layers)
        assert min(scores["composite.inside"]) > 0.99
        assert max(scores["composite.overlap"]) == 0
        assert (made.canvas[made.alpha == 0] == 255).all()


def test_an_icon_has_another_cell_size_and_angle_in_each_image():
    boxes = [grid(grid_plan(), icons(), np.random.default_rng(seed), SIZE).layers[0].box for seed in range(12)]
    assert len({box[:2] for box in boxes}) > 8
    assert len({max(box[2:]) for box in boxes}) > 4


def test_paired_images_of_grids_keep_their_icons():
    first = grid(grid_plan(5), icons(5), np.random.default_rng(0), SIZE)
    second = grid(grid_plan(5, range(5), 0), icons(5), np.random.default_rng(9), SIZE, first)
    assert [layer.box for layer in second.layers] == [layer.box for layer in first.layers[:5]]
    # A moved icon gets the free cell: neither an occupied one nor its own.
    for seed in range(10):
        moved = grid(grid_plan(5, [0, 1, 2, 3, None], 0), icons(5), np.random.default_rng(seed), SIZE, first)
        assert max(composite_scores(moved.layers)["composite.overlap"]) == 0
        assert max(abs(moved.layers[4].box[axis] - first.layers[4].box[axis]) for axis in (0, 1)) > SIZE / 6
    with pytest.raises(SamDataError, match="1 icons for 0 free cells"):
        grid(grid_plan(6, [0, 1, 2, 3, 4, None], 0), icons(), np.random.default_rng(0), SIZE, grid_of_six())


def grid_of_six():
    return grid(grid_plan(), icons(), np.random.default_rng(0), SIZE)


def test_a_flat_image_keeps_its_shape():
    image = Segment(np.full((300, 200, 4), 255, np.uint8))
    made = flat(Actor(0, 0, "main"), image, SIZE)
    assert made.canvas.shape == (SIZE, 171, 3)
    assert made.alpha.min() == 1.0


def test_turning_keeps_the_object_whole():
    obj = cutout(shape="box")
    turned = turn(obj.rgba, 15)
    assert turned[..., 3].sum() == pytest.approx(obj.rgba[..., 3].sum(), rel=0.05)
    assert (turned[..., 3] > 1)[0].any()
    assert (turned[..., 3] > 1)[:, -1].any()
