"""Smooth noise in space, a function of place and seed alone."""

import functools

import numpy as np
import numpy.typing as npt

from lavis_sam.synthesis.procedural.render.arrays import Array

# Odd constants with well-mixed bits; any such triple will do.
_PRIMES = (np.uint32(0x9E3779B1), np.uint32(0x85EBCA77), np.uint32(0xC2B2AE3D))


def lattice(x: npt.NDArray[np.int32], y: npt.NDArray[np.int32], z: npt.NDArray[np.int32], seed: int) -> Array:
    """Return a random number in [0, 1) for every point of the integer lattice."""
    mixed = x.astype(np.uint32) * _PRIMES[0] ^ y.astype(np.uint32) * _PRIMES[1] ^ z.astype(np.uint32) * _PRIMES[2]
    mixed ^= np.uint32((seed * 0x27D4EB2F) & 0xFFFFFFFF)
    mixed = (mixed ^ (mixed >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    mixed = (mixed ^ (mixed >> np.uint32(12))) * np.uint32(0x297A2D39)
    return ((mixed ^ (mixed >> np.uint32(15))) >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)


def smooth_noise(points: Array, scale: float | tuple[float, float, float], seed: int = 0) -> Array:
    """Return value noise in [-1, 1].

    Args:
        points: [..., 3] in metres.
        scale: Size of a blob in metres, one for all axes or one an axis.
        seed: Another seed is another noise.

    Returns:
        [...]
    """
    place = np.asarray(points, np.float32) / np.asarray(scale, np.float32)
    cell = np.floor(place)
    share = place - cell
    share = share * share * (3 - 2 * share)
    corner = cell.astype(np.int32)
    total = np.zeros(place.shape[:-1], np.float32)
    for offset in range(8):
        step = np.array([offset & 1, offset >> 1 & 1, offset >> 2], np.int32)
        at = corner + step
        weight = np.where(step, share, 1 - share).prod(axis=-1)
        total += weight * lattice(at[..., 0], at[..., 1], at[..., 2], seed)
    return total * 2 - 1


def ripples(points: Array, scale: float | tuple[float, float, float], seed: int = 0) -> Array:
    """Return soft irregular waves in about [-1, 1]: much cheaper than noise, good enough for folds and blotches.

    Args:
        points: [..., 3] in metres.
        scale: Length of a wave in metres, one for all axes or one an axis.
        seed: Other waves.

    Returns:
        [...]
    """
    ways, phases = _waves(seed)
    ways = ways * (np.float32(2 * np.pi) / np.asarray(scale, np.float32))
    places = np.asarray(points, np.float32)
    first, second, third = (ways @ places.reshape(-1, 3).T).reshape(3, *places.shape[:-1])
    first = np.sin(first + phases[0])
    second = np.sin(second + phases[1] + np.float32(1.5) * first)
    third = np.sin(third + phases[2] + second)
    return np.float32(0.6) * second + np.float32(0.4) * third


@functools.lru_cache(maxsize=256)
def _waves(seed: int) -> tuple[Array, Array]:
    """Draw directions [3, 3] of three waves, as long as they have waves in 2 pi, and phases [3]; never written to."""
    rng = np.random.Generator(np.random.PCG64(seed))
    ways = rng.normal(size=(3, 3)).astype(np.float32)
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    return ways * np.array([[1], [1.37], [0.73]], np.float32), rng.uniform(0, 6.28, 3).astype(np.float32)
