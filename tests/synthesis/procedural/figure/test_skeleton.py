"""Bones: whatever the pose, limbs keep their lengths and the lower foot is on the ground."""

import numpy as np
import pytest

from lavis_sam.synthesis.procedural.figure.skeleton import BUILDS, POSES, build_of, skeleton_of


def length(skeleton, first, second, side):
    return np.linalg.norm(skeleton.at(first, side) - skeleton.at(second, side))


@pytest.mark.parametrize("kind", BUILDS)
@pytest.mark.parametrize("pose", POSES)
def test_a_pose_keeps_the_lengths_of_limbs_and_stands_on_the_ground(kind, pose):
    build = build_of(kind, "average", 1.0)
    skeleton, standing = (skeleton_of(build, POSES[name]) for name in (pose, "standing"))
    for bone in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
        for side in (-1, 1):
            assert length(skeleton, *bone, side) == pytest.approx(length(standing, *bone, 1), rel=1e-5)
    lower = min(float(skeleton.at("ankle", side)[1]) for side in (-1, 1))
    assert lower == pytest.approx(build.leg_share * build.height * 0.09, abs=1e-5)


def test_builds_follow_figure_and_tallness():
    slim, tall = build_of("woman", "slim", 1.0), build_of("woman", "average", 1.1)
    assert slim.hips[0] < build_of("woman", "average", 1.0).hips[0]
    assert tall.height == pytest.approx(1.1 * BUILDS["woman"].height)
