"""Arms, legs, hands and bare feet; sleeves and trouser legs are the same shapes with more room."""

import numpy as np

from lavis_sam.synthesis.procedural.figure.skeleton import Side, Skeleton
from lavis_sam.synthesis.procedural.render.arrays import Array, cross, floats
from lavis_sam.synthesis.procedural.render.paint import Paint
from lavis_sam.synthesis.procedural.render.surfaces import Ellipsoid, Loft, Surface, limb, unit

SKIN_GLOSS = 0.10
# Share of the way from joint to joint -> radius in metres; the whole way is 0 (shoulder, hip) to 2 (wrist, ankle).
_ARM = ((0.0, 0.050), (0.35, 0.049), (0.8, 0.041), (1.0, 0.040), (1.2, 0.042), (1.6, 0.034), (2.0, 0.026))
_LEG = (
    (0.0, 0.086),
    (0.4, 0.080),
    (0.85, 0.060),
    (1.0, 0.057),
    (1.2, 0.056),
    (1.42, 0.058),
    (1.75, 0.042),
    (2.0, 0.037),
)
_STATION, _ROUNDING, _INNER = 0.1, 0.13, 0.2


def arm_path(skeleton: Skeleton, side: Side, until: float = 2.0, room: float = 0.0) -> tuple[Array, Array]:
    """Return centres [K, 3] and radii [K] of an arm.

    Args:
        side: -1 or 1.
        until: 1 is the elbow, 2 the wrist.
        room: Metres around the skin.
    """
    return _path(skeleton, side, ("shoulder", "elbow", "wrist"), _ARM, until, room)


def leg_path(skeleton: Skeleton, side: Side, until: float = 2.0, room: float = 0.0) -> tuple[Array, Array]:
    """Return centres [K, 3] and radii [K] of a leg; 1 is the knee, 2 the ankle."""
    return _path(skeleton, side, ("hip", "knee", "ankle"), _LEG, until, room)


def _path(
    skeleton: Skeleton,
    side: Side,
    names: tuple[str, str, str],
    profile: tuple[tuple[float, float], ...],
    until: float,
    room: float,
) -> tuple[Array, Array]:
    joints = np.stack([skeleton.at(name, side) for name in names])
    places, radii = np.array(profile).T
    radii = radii * skeleton.build.limb * skeleton.build.scale**0.5
    first = -_INNER if names[0] == "shoulder" else 0.0
    dense = np.append(np.arange(first, until - 0.5 * _STATION, _STATION), until)
    if first:  # The shoulder grows out of the trunk.
        joints = np.concatenate([skeleton.at("inner", side)[None], joints])
    corners = [first, 0, 1, 2, 3] if first else [0, 1, 2, 3]
    joints = np.concatenate([joints, 2 * joints[-1:] - joints[-2:-1]])  # Trouser legs reach beyond the ankle.
    # Joints are rounded: every station is a mean over its neighbourhood.
    offsets = np.linspace(-_ROUNDING, _ROUNDING, 7)
    around = np.clip(dense[:, None] + offsets, first, 3)
    centres = np.stack([np.interp(around, corners, joints[:, axis]).mean(axis=1) for axis in range(3)], axis=1)
    centres[0] = joints[0]
    return centres.astype(np.float32), (np.interp(dense, places, radii) + room).astype(np.float32)


def bare_arm(skeleton: Skeleton, side: Side, skin: Paint) -> Surface:
    """Return an arm down to the wrist."""
    centres, radii = arm_path(skeleton, side)
    return Surface(limb(centres, radii), skin, SKIN_GLOSS)


def bare_leg(skeleton: Skeleton, side: Side, skin: Paint) -> Surface:
    """Return a leg down to the ankle."""
    centres, radii = leg_path(skeleton, side)
    return Surface(limb(centres, radii), skin, SKIN_GLOSS)


def sock(skeleton: Skeleton, side: Side, paint: Paint) -> Surface:
    """Return a sock from above the ankle into the shoe."""
    centres, radii = leg_path(skeleton, side, 2.12, 0.004)
    start = len(centres) - 4
    return Surface(limb(centres[start:], radii[start:]), paint)


def hand(skeleton: Skeleton, side: Side, skin: Paint) -> list[Surface]:
    """Return palm, four fingers and a thumb; the pose's grip bends the fingers (0 straight, 1 half a fist)."""
    size = 0.92 * skeleton.build.scale * (0.6 + 0.4 * skeleton.build.limb)
    wrist = skeleton.at("wrist", side)
    ahead = unit(wrist - skeleton.at("elbow", side))
    palm_faces, across = _hand_axes(ahead, side, skeleton)
    grip = skeleton.pose.side(side).grip
    pieces = [
        Surface(
            Loft(
                [wrist - ahead * 0.01 * size, wrist + ahead * 0.03 * size, wrist + ahead * 0.085 * size],
                [(0.024 * size, 0.021 * size), (0.034 * size, 0.019 * size), (0.037 * size, 0.014 * size)],
                front=palm_faces,
                round_ends=(True, True),
                squareness=2.5,
            ),
            skin,
            SKIN_GLOSS,
        )
    ]
    for index, length in enumerate((0.062, 0.071, 0.066, 0.050)):
        start = wrist + ahead * 0.085 * size + across * (0.0265 - 0.0175 * index) * size
        points = _finger(start, ahead, palm_faces, length * size, grip * (1 + 0.12 * index))
        pieces.append(
            Surface(limb(points, [0.0105 * size, 0.0100 * size, 0.0092 * size, 0.0080 * size]), skin, SKIN_GLOSS)
        )
    base = wrist + ahead * 0.030 * size + across * 0.022 * size
    out = unit(ahead * 0.75 + across * 0.75 + palm_faces * 0.25)
    tip = base + out * 0.042 * size
    thumb = [base, tip, tip + unit(ahead + palm_faces * 0.3 + across * 0.1) * 0.030 * size]
    pieces.append(Surface(limb(thumb, [0.0165 * size, 0.0125 * size, 0.0100 * size]), skin, SKIN_GLOSS))
    return pieces


def _hand_axes(ahead: Array, side: Side, skeleton: Skeleton) -> tuple[Array, Array]:
    """Return what the palm faces, and the way from the little finger to the thumb."""
    if ahead[1] > 0.4:  # A raised hand shows its palm.
        palm = floats([0, 0, 1])
    elif ahead[1] < -0.6:  # A hanging hand faces the thigh, with the thumb in front.
        palm = floats([-side, 0, -0.25])
    else:
        palm = floats([0, -1, 0])
    palm = unit(palm - ahead * float(palm @ ahead))
    across = unit(cross(ahead, palm) * side)
    # Thumbs of hanging hands point forward, those of raised ones to the head.
    wanted = floats([-side, 0, 0]) if ahead[1] > 0.4 else floats([0, 0.6, 1])
    return palm, across if float(across @ wanted) >= 0 else -across


def _finger(start: Array, ahead: Array, towards: Array, length: float, bend: float) -> list[Array]:
    """Return joints of a finger that bends towards the palm."""
    points, angle = [start], 0.0
    for share in (0.42, 0.32, 0.26):
        angle += bend * 0.85
        points.append(points[-1] + (ahead * np.cos(angle) + towards * np.sin(angle)) * np.float32(length * share))
    return points


def foot_axes(skeleton: Skeleton, side: Side) -> tuple[Array, Array, Array]:
    """Return where a foot points, what is up for it, and its ankle.

    A foot that is flat on the ground points ahead and a little outward; a lifted heel tips it.
    """
    ankle = skeleton.at("ankle", side)
    ahead = unit(floats([side * 0.20, 0, 1]))
    rest = skeleton.build.leg_share * skeleton.build.height * 0.09
    lift = float(ankle[1]) - rest
    if lift > 0.015:
        # The toes stay low while the heel rises.
        fall = min(0.9, lift / (0.17 * skeleton.build.scale))
        ahead = unit(ahead * np.float32(np.sqrt(1 - fall**2)) - floats([0, fall, 0]))
    up = unit(floats([0, 1, 0]) - ahead * ahead[1])
    return ahead, up, ankle


def bare_foot(skeleton: Skeleton, side: Side, skin: Paint) -> list[Surface]:
    """Return a foot with a hint of toes."""
    ahead, up, ankle = foot_axes(skeleton, side)
    size = skeleton.build.scale * (0.75 + 0.25 * skeleton.build.limb)
    down = ankle - up * 0.045 * size
    across = cross(up, ahead)
    line = [down - ahead * 0.045 * size, down + ahead * 0.03 * size, down - up * 0.012 * size + ahead * 0.11 * size]
    line.append(down - up * 0.020 * size + ahead * 0.150 * size)
    body = Loft(
        line,
        [
            (0.030 * size, 0.036 * size),
            (0.034 * size, 0.040 * size),
            (0.042 * size, 0.024 * size),
            (0.040 * size, 0.016 * size),
        ],
        front=up,
        round_ends=(True, True),
    )
    toes = []
    for index in range(5):
        middle = line[-1] + across * floats((index - 2) * 0.0165 * size) + ahead * np.float32(0.016 * size)
        radius = 0.0115 * size * (1.25 if (index == 4) == (side < 0) and index in (0, 4) else 1.0)
        toes.append(Surface(Ellipsoid(tuple(middle), (radius, radius, radius * 1.5)), skin, SKIN_GLOSS))
    return [Surface(body, skin, SKIN_GLOSS), *toes]
