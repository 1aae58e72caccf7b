"""Outlines of objects, as functions that say which points (u, v) of [-1, 1]² are inside."""

import math

import numpy as np


def random_outline(rng):
    """A random function of two arrays u, v that returns a boolean array."""
    outline = rng.choice([_ellipse, _box, _rounded_box, _convex_polygon, _blob, _wheel, _lattice])(
        rng
    )
    return _with_holes(rng, outline) if rng.random() < 0.2 else outline


def _ellipse(rng):
    return lambda u, v: u**2 + v**2 < 1


def _box(rng):
    return lambda u, v: np.maximum(np.abs(u), np.abs(v)) < 1


def _rounded_box(rng):
    power = rng.uniform(3, 8)
    return lambda u, v: np.abs(u) ** power + np.abs(v) ** power < 1


def _convex_polygon(rng):
    sides = rng.integers(3, 8)
    angles = 2 * np.pi * (np.arange(sides) + rng.uniform(-0.3, 0.3, sides)) / sides
    normals = np.stack([np.cos(angles), np.sin(angles)], -1).tolist()
    distances = rng.uniform(0.5, 0.9, sides).tolist()

    def inside(u, v):
        result = np.maximum(np.abs(u), np.abs(v)) < 1
        for (normal_u, normal_v), distance in zip(normals, distances, strict=True):
            result &= normal_u * u + normal_v * v < distance
        return result

    return inside


def _blob(rng):
    around = np.linspace(-np.pi, np.pi, 256, dtype=np.float32)
    radii = np.full(256, 0.75, np.float32)
    for n in range(2, 8):
        radii += rng.uniform(0, 0.3) / n * np.cos(n * around + rng.uniform(0, 2 * np.pi))

    def inside(u, v):
        step = ((np.arctan2(v, u) / np.pi + 1) * 127.5).astype(int)
        return u**2 + v**2 < radii[step] ** 2

    return inside


def _wheel(rng):
    spokes = rng.integers(0, 7)  # none: a plain ring
    rim, hub = rng.uniform(0.55, 0.92), rng.uniform(0.1, 0.35)
    width, phase = rng.uniform(0.03, 0.1), rng.uniform(0, np.pi)

    def inside(u, v):
        radius = np.hypot(u, v)
        result = (radius > rim) & (radius < 1)
        if spokes:
            result |= radius < hub
            for spoke in range(spokes):
                angle = phase + np.pi * spoke / spokes
                across = math.cos(angle) * u + math.sin(angle) * v
                result |= (np.abs(across) < width) & (radius < 1)
        return result

    return inside


def _lattice(rng):
    """A frame with bars across it: a fence, a shelf or the back of a bench."""
    bars_u, bars_v = rng.integers(0, 7), rng.integers(0, 4)
    diagonal = rng.random() < 0.3
    share = rng.uniform(0.1, 0.5)
    frame = rng.uniform(0.8, 0.97)

    def bars(position, count):
        return (((position + 1) / 2 * (count + 1) + share / 2) % 1) < share

    def inside(u, v):
        square = np.maximum(np.abs(u), np.abs(v))
        result = square > frame
        if bars_u:
            result |= bars(u, bars_u)
        if bars_v:
            result |= bars(v, bars_v)
        if diagonal:
            result |= (np.abs(u - v) < 1 - frame) | (np.abs(u + v) < 1 - frame)
        return result & (square < 1)

    return inside


def _with_holes(rng, outline):
    holes = [
        (
            *rng.uniform(-0.6, 0.6, 2).tolist(),
            *rng.uniform(0.08, 0.3, 2).tolist(),
            rng.random() < 0.5,
        )
        for _ in range(rng.integers(1, 5))
    ]

    def inside(u, v):
        result = outline(u, v)
        for centre_u, centre_v, size_u, size_v, round_hole in holes:
            a, b = np.abs(u - centre_u) / size_u, np.abs(v - centre_v) / size_v
            result &= (a**2 + b**2 > 1) if round_hole else (np.maximum(a, b) > 1)
        return result

    return inside


def random_bar(rng):
    """(outline, height of its box / width of the bar) of a bar, straight or bent like a cable."""
    bend = rng.uniform(-8, 8) if rng.random() < 0.5 else 0.0
    width = 1 / (1 + abs(bend))

    def inside(u, v):
        along = np.abs(u) < 1
        return along & (np.abs(v - bend * width * (u**2 - 0.5)) < width)

    return inside, 1 / width
