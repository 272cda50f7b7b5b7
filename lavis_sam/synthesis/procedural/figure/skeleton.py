"""Body measures, poses, and the joints that follow from them."""

from dataclasses import dataclass

import numpy as np

from lavis_sam.synthesis.procedural.render.arrays import Array, floats

Side = int  # -1 the figure's right, +1 its left


@dataclass(frozen=True)
class Build:
    """Measures of a body in metres.

    Attributes:
        height: From sole to crown.
        head: From chin to crown.
        shoulders: Half the distance of the shoulder joints.
        chest: Half width and half depth of the chest.
        bust: By how much the chest stands out.
        limb: Thickness of arms and legs, 1 for an average adult.
        leg_share: Height of the hip joint as a share of `height`.
    """

    height: float
    head: float
    shoulders: float
    chest: tuple[float, float]
    waist: tuple[float, float]
    hips: tuple[float, float]
    bust: float
    limb: float
    leg_share: float

    @property
    def scale(self) -> float:
        """Of lengths, 1 for an average adult."""
        return self.height / 1.72


BUILDS = {
    "woman": Build(1.68, 0.256, 0.158, (0.140, 0.100), (0.112, 0.086), (0.160, 0.112), 0.028, 0.90, 0.520),
    "man": Build(1.80, 0.264, 0.190, (0.168, 0.112), (0.138, 0.100), (0.152, 0.108), 0.0, 1.04, 0.510),
    "girl": Build(1.26, 0.262, 0.124, (0.106, 0.080), (0.096, 0.076), (0.112, 0.086), 0.0, 0.74, 0.480),
    "boy": Build(1.30, 0.262, 0.130, (0.114, 0.084), (0.104, 0.080), (0.112, 0.086), 0.0, 0.76, 0.480),
}
# Factors of widths.
FIGURES = {"slim": 0.92, "average": 1.0, "sturdy": 1.13}


def build_of(kind: str, figure: str, tallness: float) -> Build:
    """Return measures of somebody.

    Args:
        kind: A key of `BUILDS`.
        figure: A key of `FIGURES`.
        tallness: Factor of the height, about 1.
    """
    base, wide = BUILDS[kind], FIGURES[figure]
    height = base.height * tallness
    return Build(
        height,
        base.head * (0.5 + 0.5 * tallness),
        base.shoulders * (0.5 + 0.5 * wide),
        (base.chest[0] * wide, base.chest[1] * wide),
        (base.waist[0] * wide**1.5, base.waist[1] * wide**1.6),
        (base.hips[0] * wide, base.hips[1] * wide),
        base.bust,
        base.limb * wide,
        base.leg_share,
    )


@dataclass(frozen=True)
class Bend:
    """The direction of a bone.

    Attributes:
        swing: Degrees forward from hanging down; 180 points up.
        spread: Degrees outward, towards the body's own side.
    """

    swing: float = 0.0
    spread: float = 0.0

    def direction(self, side: Side) -> Array:
        """Return the unit vector."""
        swing, spread = np.deg2rad(self.swing), np.deg2rad(self.spread)
        return floats([side * np.sin(spread), -np.cos(spread) * np.cos(swing), np.cos(spread) * np.sin(swing)])


@dataclass(frozen=True)
class Limbs:
    """The bones of one side."""

    upper_arm: Bend
    forearm: Bend
    thigh: Bend
    shin: Bend
    grip: float = 0.35


@dataclass(frozen=True)
class Pose:
    """What a body does.

    Attributes:
        turn: Degrees that it likes to be turned away from the viewer, at most, to either side.
        head_turn: Degrees that the head is turned further.
        seat: Whether it sits on a stool.
        lean: Degrees that the trunk leans forward.
    """

    right: Limbs
    left: Limbs
    turn: float = 22.0
    head_turn: float = 0.0
    seat: bool = False
    lean: float = 0.0

    def side(self, side: Side) -> Limbs:
        """Return the bones of a side."""
        return self.left if side > 0 else self.right


_RELAXED = Limbs(Bend(2, 12), Bend(14, 7), Bend(1, 4), Bend(-3, 2))
_PLANTED = Limbs(Bend(-2, 13), Bend(10, 8), Bend(2, 7), Bend(-4, 4))
POSES: dict[str, Pose] = {
    "standing": Pose(_RELAXED, _PLANTED, turn=35),
    "waving": Pose(Limbs(Bend(12, 74), Bend(8, 164), Bend(1, 4), Bend(-3, 2), grip=0.0), _PLANTED),
    "walking": Pose(
        Limbs(Bend(28, 9), Bend(46, 4), Bend(-14, 2), Bend(-42, 2)),
        Limbs(Bend(-24, 10), Bend(-6, 6), Bend(25, 2), Bend(2, 2)),
        turn=55,
        lean=3,
    ),
    "sitting": Pose(
        Limbs(Bend(16, 10), Bend(58, -6), Bend(84, 9), Bend(-4, 3), grip=0.5),
        Limbs(Bend(16, 10), Bend(56, -6), Bend(83, 8), Bend(6, 3), grip=0.5),
        turn=38,
        seat=True,
    ),
    "arms crossed": Pose(
        Limbs(Bend(34, 10), Bend(112, -66), Bend(1, 4), Bend(-3, 2), grip=0.25),
        Limbs(Bend(18, 12), Bend(92, -56), Bend(2, 8), Bend(-4, 4), grip=0.25),
        turn=15,
    ),
    "hands on hips": Pose(
        Limbs(Bend(-16, 46), Bend(30, -50), Bend(1, 5), Bend(-3, 3), grip=0.6),
        Limbs(Bend(-16, 46), Bend(30, -50), Bend(2, 6), Bend(-4, 4), grip=0.6),
        turn=15,
    ),
    "pointing": Pose(_RELAXED, Limbs(Bend(40, 66), Bend(60, 74), Bend(2, 6), Bend(-4, 4), grip=1.2), head_turn=18),
    "cheering": Pose(
        Limbs(Bend(10, 128), Bend(10, 160), Bend(1, 7), Bend(-3, 5), grip=0.9),
        Limbs(Bend(10, 126), Bend(12, 158), Bend(2, 7), Bend(-4, 5), grip=0.9),
    ),
}


@dataclass(frozen=True)
class Skeleton:
    """Where the joints are, in metres.

    Attributes:
        joints: Name -> place; names of paired joints end in "-1" or "1".
    """

    build: Build
    pose: Pose
    joints: dict[str, Array]

    def at(self, name: str, side: Side | None = None) -> Array:
        """Return a joint."""
        return self.joints[name if side is None else f"{name}{side}"]


def skeleton_of(build: Build, pose: Pose) -> Skeleton:
    """Place the joints so that the lower foot touches the ground."""
    scale, height = build.scale, build.height
    child = 0.94 if height < 1.45 else 1.0
    arm, forearm = 0.285 * scale * child, 0.255 * scale * child
    hip_height = build.leg_share * height
    thigh, shin = hip_height * 0.475, hip_height * 0.435
    ankle = hip_height * 0.09
    joints: dict[str, Array] = {}
    drops = []
    for side in (-1, 1):
        limbs = pose.side(side)
        hip = floats([side * build.hips[0] * 0.53, 0, 0])
        knee = hip + limbs.thigh.direction(side) * thigh
        foot = knee + limbs.shin.direction(side) * shin
        joints |= {f"hip{side}": hip, f"knee{side}": knee, f"ankle{side}": foot}
        drops.append(-float(foot[1]) + ankle)
    pelvis = max(drops)
    for name in joints:
        joints[name] = joints[name] + floats([0, pelvis, 0])
    lean = np.deg2rad(pose.lean)

    def upward(rise: float, x: float = 0.0, z: float = 0.0) -> Array:
        """Return a place above the hip joints, on the leaning trunk."""
        y, depth = rise * np.cos(lean) - z * np.sin(lean), rise * np.sin(lean) + z * np.cos(lean)
        return floats([x, pelvis + y, depth])

    chin = height - build.head - hip_height
    shoulders = chin - 0.032 * height
    joints |= {
        "pelvis": upward(0.0),
        "waist": upward(0.42 * shoulders),
        "chest": upward(0.76 * shoulders),
        "collar": upward(shoulders),
        "neck": upward(chin - 0.018 * scale, z=-0.006),
        "head": upward(chin + build.head * 0.5, z=0.012),
    }
    for side in (-1, 1):
        limbs = pose.side(side)
        shoulder = upward(shoulders - 0.046 * scale, x=side * (build.shoulders - 0.006))
        # A raised arm takes its shoulder along.
        raised = max(0.0, float(limbs.upper_arm.direction(side)[1])) + 0.35
        shoulder = shoulder + floats([-side * 0.012, 0.022, 0]) * raised * scale
        elbow = shoulder + limbs.upper_arm.direction(side) * arm
        wrist = elbow + limbs.forearm.direction(side) * forearm
        inner = upward(shoulders - 0.030 * scale, x=side * build.shoulders * 0.62)
        joints |= {f"inner{side}": inner, f"shoulder{side}": shoulder, f"elbow{side}": elbow, f"wrist{side}": wrist}
    return Skeleton(build, pose, joints)
