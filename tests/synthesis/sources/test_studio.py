"""Drawn objects before a backdrop, and the masks that are found again."""

import numpy as np
import pytest

from helpers.embedded_sources import SOURCES, draw
from lavis_sam.synthesis.backends.embedded import (
    U2NetpSegmenter,
)
from lavis_sam.synthesis.quality import mask_scores
from lavis_sam.synthesis.sources.embedded import (
    ProceduralCharacters,
)
from lavis_sam.synthesis.stages.segment import cut_out


@pytest.mark.parametrize("kind", ["characters", "furniture"])
def test_the_segmenter_finds_what_was_drawn(kind):
    """U2-Netp against the exact masks; the mean over more of them is an integration test's."""
    views = [draw(SOURCES[kind](), seed).views[0] for seed in range(3)]
    masks = U2NetpSegmenter().segment([view.image for view in views])
    scores = [mask_scores(mask.alpha, view.alpha) for mask, view in zip(masks, views, strict=True)]
    assert np.mean([score["mask.true_iou"] for score in scores]) > 0.93
    assert all(score["mask.border"] == 0 for score in scores)


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["characters", "furniture"])
def test_u2netp_masks_overlap_the_exact_ones_by_95_percent_on_average(kind):
    overlaps = []
    for seed in range(40):
        view = draw(SOURCES[kind](), seed).views[0]
        (mask,) = U2NetpSegmenter().segment([view.image])
        overlaps.append(mask_scores(mask.alpha, view.alpha)["mask.true_iou"])
    assert np.mean(overlaps) >= 0.95


def test_a_view_has_room_around_the_object_and_knows_where_it_stands():
    view = draw(ProceduralCharacters(), 2).views[0]
    edges = np.concatenate([view.alpha[0], view.alpha[-1], view.alpha[:, 0], view.alpha[:, -1]])
    assert edges.max() == 0
    rows, columns = np.nonzero(view.alpha > 0.5)
    points = np.array([point for outline in view.contacts for point in outline])
    assert abs(points[:, 1].max() - rows.max()) < 0.06 * np.ptp(rows)
    assert columns.min() - 5 <= points[:, 0].min()
    assert points[:, 0].max() <= columns.max() + 5
    segment = cut_out(view.image, view.alpha, view.contacts, exact=True)
    moved = np.array([point for outline in segment.contacts for point in outline])
    assert np.allclose(points - moved, points[0] - moved[0])
    assert 1.0 < view.height < 2.2
