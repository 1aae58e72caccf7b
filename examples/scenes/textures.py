"""Colours of surfaces, as (rows, cols, 3) arrays in [0, 1]; positions are in pixels."""

import functools
import math

import numpy as np
from skimage import data

from examples.scenes.shapes import random_outline

# Free of copyright, and part of scikit-image.
PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "grass", "gravel")


def random_color(rng):
    """Mostly greys and dull colours, as in rooms and streets; some strong ones."""
    grey = rng.uniform(0.05, 0.95)
    saturation = rng.beta(0.8, 2)
    return np.clip(grey + saturation * rng.uniform(-0.5, 0.5, 3), 0.02, 0.98)


def smooth_noise(rng, shape, cell):
    """Random values in [-1, 1] on a grid of about `cell` samples, interpolated linearly."""

    def weights(size):
        knots = np.arange(int(np.ceil(size / cell)) + 2)
        return np.maximum(0, 1 - np.abs(np.arange(size)[:, None] / cell - knots)).astype(np.float32)

    rows, cols = weights(shape[0]), weights(shape[1])
    grid = rng.uniform(-1, 1, (rows.shape[1], cols.shape[1])).astype(np.float32)
    return rows @ grid @ cols.T


def random_texture(rng, u, v, color, supersampling):
    """Colours around `color` at positions u, v (in pixels, along the axes of the object)."""
    if rng.random() < 0.35:
        return _photograph(rng, u, v, color)
    result = np.broadcast_to(color.astype(np.float32), (*u.shape, 3)).copy()
    for _ in range(rng.integers(0, 5)):
        pattern = rng.choice([_grain, _clouds, _stripes, _checks, _joints, _print, _print])
        amount = pattern(rng, u, v, supersampling)[..., None]
        other = random_color(rng) if rng.random() < 0.5 else color * rng.uniform(0.3, 1.6)
        result += amount * rng.uniform(0.15, 1) * (other.astype(np.float32) - result)
    return result


def _grain(rng, u, v, supersampling):
    return 0.5 + 0.5 * smooth_noise(rng, u.shape, supersampling * rng.uniform(0.7, 2.5))


def _clouds(rng, u, v, supersampling):
    cell, total = supersampling * rng.uniform(5, 60), 0.0
    for octave in range(4):
        total = total + 0.6**octave * smooth_noise(rng, u.shape, max(cell / 2**octave, 1.5))
    return np.clip(0.5 + 0.6 * total, 0, 1)


def _stripes(rng, u, v, supersampling):
    period = math.exp(rng.uniform(math.log(3), math.log(40)))
    share = rng.uniform(0.1, 0.9)
    phase = (v / period + rng.uniform(0, 1)) % 1
    if rng.random() < 0.3:
        return 0.5 + 0.5 * np.sin(2 * np.pi * phase)
    return (phase < share).astype(np.float32)


def _checks(rng, u, v, supersampling):
    period = math.exp(rng.uniform(math.log(3), math.log(30)))
    return ((np.floor(u / period) + np.floor(v / period)) % 2).astype(np.float32)


def _joints(rng, u, v, supersampling):
    """Lines as between tiles, bricks or planks."""
    height = rng.uniform(6, 30)
    length = height * rng.uniform(1, 8)
    width = rng.uniform(0.5, 2)
    row = np.floor(v / height)
    shifted = u + (row % 2) * length * rng.uniform(0, 0.5)
    return ((v % height < width) | (shifted % length < width)).astype(np.float32)


def _print(rng, u, v, supersampling):
    """A printed pattern: small figures here and there."""
    amount = np.zeros(u.shape, np.float32)
    reach = float(max(np.abs(u).max(), np.abs(v).max()))
    largest = math.exp(rng.uniform(math.log(2), math.log(max(reach, 3))))
    for _ in range(rng.integers(2, 16)):
        half = largest * rng.uniform(0.2, 1)
        row, col = rng.integers(u.shape[0]), rng.integers(u.shape[1])
        span = int(1.5 * half * supersampling)  # a turned square reaches beyond its half size
        part = np.s_[max(row - span, 0) : row + span, max(col - span, 0) : col + span]
        outline, stretch = random_outline(rng), rng.uniform(0.3, 1)
        figure_u, figure_v = u[part] - u[row, col], v[part] - v[row, col]
        inside = outline(figure_u / half, figure_v / (half * stretch))
        amount[part][inside] = rng.uniform(0.3, 1)
    return amount


def _photograph(rng, u, v, color):
    """Part of a photograph, enlarged or reduced, in its own colours or around `color`."""
    photograph = _photographs()[rng.integers(len(PHOTOGRAPHS))]
    scale = math.exp(rng.uniform(math.log(0.5), math.log(3)))
    place = []
    for position, size in zip((v, u), photograph.shape):
        steps = (position * scale + rng.uniform(0, 2 * size)) % (2 * size - 2)
        place.append(np.abs(steps - (size - 1)).astype(int))  # mirrored where it ends
    part = photograph[tuple(np.broadcast_arrays(*place))]
    if rng.random() < 0.5 and part.size:
        part = (part - part.mean((0, 1))) * rng.uniform(0.3, 1.2) + color
    return np.clip(part, 0, 1).astype(np.float32)


@functools.cache
def _photographs():
    """Pictures that come with scikit-image, as (rows, cols, 3) arrays in [0, 1]."""
    pictures = (getattr(data, name)() / np.float32(255) for name in PHOTOGRAPHS)
    return [np.broadcast_to(p.reshape(*p.shape[:2], -1), (*p.shape[:2], 3)) for p in pictures]
