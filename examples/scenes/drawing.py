"""Draws one scene: planes and objects at different depths, lit, blurred and noisy like a photo.

The depth is drawn as disparity: larger is nearer, and a plane in space has linear disparity. At
every point the nearest surface is visible. The scenes have what makes upsampling hard: prints,
joints and shadows are colour edges without a step in depth; objects in the colour of their
background are steps in depth without a colour edge.
"""

import math

import numpy as np

from examples.scenes.shapes import random_bar, random_outline
from examples.scenes.textures import random_color, random_texture, smooth_noise

# Odd, so that the middle sample of a pixel is its centre. A pixel's colour is the mean of its
# samples; its disparity is that of the middle one, as a mean would invent depths between surfaces.
SUPERSAMPLING = 3
FARTHEST, NEAREST = 5.0, 60.0


def draw_scene(rng, size):
    """One scene: a uint8 image (size, size, 3) and its float32 disparity (size, size)."""
    scene = _Scene(rng, size)
    scene.draw_room()
    for _ in range(rng.integers(3, 8)):
        scene.draw_group()
    image = scene.color.reshape(size, SUPERSAMPLING, size, SUPERSAMPLING, 3).mean((1, 3))
    middle = slice(SUPERSAMPLING // 2, None, SUPERSAMPLING)
    return _photograph(rng, image), scene.disparity[middle, middle].astype(np.float32)


class _Scene:
    """Colour and disparity of what has been drawn so far, on the supersampled grid."""

    def __init__(self, rng, size):
        self.rng = rng
        self.size = size
        samples = size * SUPERSAMPLING
        self.color = np.zeros((samples, samples, 3), np.float32)
        self.disparity = np.zeros((samples, samples), np.float32)
        self.position = ((np.arange(samples) + 0.5) / SUPERSAMPLING - 0.5).astype(np.float32)
        self.palette = [random_color(rng) for _ in range(rng.integers(3, 7))]
        self.light = [rng.normal() * 0.5, rng.normal() * 0.5]  # towards it, along rows and columns
        self.shadow_direction = rng.uniform(-1, 1, 2)
        self.shadow_strength = rng.uniform(0, 0.7)

    def draw_room(self):
        """A far wall and, at random, a floor and up to two other walls."""
        rng, size = self.rng, self.size
        far = rng.uniform(FARTHEST, 20)
        slopes = [rng.normal(size=2) * 0.02]  # disparity a pixel, along rows and columns
        if rng.random() < 0.7:
            slopes.append(np.array([rng.uniform(0.05, 0.4), rng.normal() * 0.01]))
        for _ in range(rng.integers(0, 3)):
            slopes.append(rng.normal(size=2) * 0.1)
        everywhere = np.s_[:, :]
        row, col = np.meshgrid(self.position, self.position, indexing="ij", sparse=True)
        for slope in slopes:
            meets_wall = rng.uniform(0.2, 0.9, 2) * size
            surface = _plane(far - slope @ meets_wall, slope, row, col)
            surface = np.clip(surface, FARTHEST / 2, NEAREST)
            turn = rng.choice([0, np.pi / 2]) + rng.normal() * 0.1
            u, v = _object_axes(row, col, turn)
            color = random_texture(rng, u, v, self._some_color(), SUPERSAMPLING)
            self._paint(everywhere, surface > self.disparity, surface, color)
        if rng.random() < 0.3:
            waves = smooth_noise(rng, self.disparity.shape, self.disparity.shape[0] / 3)
            self.disparity += rng.uniform(0, 5) * (1 + waves)

    def draw_group(self):
        """Some objects near each other in space, as the parts of a machine or things on a shelf."""
        rng, size = self.rng, self.size
        middle = rng.uniform(0, size, 2)
        spread = rng.uniform(0.05, 0.4) * size
        disparity = rng.uniform(10, NEAREST - 10)
        depth_spread = math.exp(rng.uniform(math.log(0.3), math.log(8)))
        largest = rng.uniform(0.1, 0.5) * size
        for _ in range(rng.integers(1, 9)):
            self._draw_object(
                centre=middle + rng.normal(size=2) * spread,
                half=largest * math.exp(rng.uniform(-2, 0)),
                disparity=disparity + rng.normal() * depth_spread,
            )

    def _draw_object(self, centre, half, disparity):
        rng = self.rng
        if rng.random() < 0.35:
            outline, bend = random_bar(rng)
            half_u = max(2 * half, 8.0)
            half_v = bend * math.exp(rng.uniform(math.log(0.4), math.log(3)))
        else:
            outline = random_outline(rng)
            half_u, half_v = half, half * rng.uniform(0.3, 1)
        turn = rng.uniform(0, np.pi) if rng.random() < 0.6 else rng.choice([0, np.pi / 2])

        window, u, v = self._window(centre, half_u, half_v, turn)
        if u.size == 0:
            return
        if rng.random() < 0.7:
            behind = self._disparity_at(centre)
            gap = np.clip(disparity - behind, 0, 20) * rng.uniform(0.2, 1)
            self._cast_shadow(outline, centre + gap * self.shadow_direction, half_u, half_v, turn)
        inside = outline(u / half_u, v / half_v)
        slope = rng.normal(size=2) * rng.choice([0, 0.02, 0.15])
        surface = _plane(disparity, slope, v, u)
        shade = 1 + rng.uniform(-0.2, 0.2)
        if rng.random() < 0.4:  # a ball, a pipe or a cushion
            roundness = np.clip(1 - (v / half_v) ** 2, 0, 1)
            if rng.random() < 0.5:
                roundness = np.clip(roundness - (u / half_u) ** 2, 0, 1)
            bulge = np.sqrt(roundness)
            surface = surface + bulge * min(half_v, half_u) * rng.uniform(0.02, 0.3)
            towards_light = (self.light[0] * v / half_v + self.light[1] * u / half_u) * 0.5
            shade = shade * (0.5 + 0.5 * bulge + towards_light)[..., None]
        surface = np.clip(surface, FARTHEST / 2, NEAREST)

        color = self._some_color()
        if rng.random() < 0.2:  # camouflaged: the colour of what is behind it
            color = self._color_at(centre) * rng.uniform(0.9, 1.1)
        color = random_texture(rng, u, v, color, SUPERSAMPLING) * shade
        if rng.random() < 0.2:  # a reflection
            spot = rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)
            distance = (u / half_u - spot[0]) ** 2 + (v / half_v - spot[1]) ** 2
            color = color + np.exp(-distance * rng.uniform(5, 80))[..., None]
        visible = inside & (surface > self.disparity[window])
        self._paint(window, visible, surface, color)

    def _cast_shadow(self, outline, centre, half_u, half_v, turn):
        window, u, v = self._window(centre, half_u, half_v, turn)
        if u.size == 0:
            return
        inside = outline(u / half_u, v / half_v).astype(np.float32)
        inside = _blur(inside, self.rng.uniform(0.2, 4) * SUPERSAMPLING)
        self.color[window] *= 1 - self.shadow_strength * inside[..., None]

    def _window(self, centre, half_u, half_v, turn):
        """The part of the grid around an object, and positions there along the object's axes."""
        window, positions = [], []
        for middle, reach in zip(centre, _reach(half_u, half_v, turn), strict=True):
            part = slice(*np.searchsorted(self.position, [middle - reach, middle + reach]))
            window.append(part)
            positions.append(self.position[part] - np.float32(middle))
        row, col = np.meshgrid(*positions, indexing="ij", sparse=True)
        return tuple(window), *_object_axes(row, col, turn)

    def _paint(self, window, where, surface, color):
        np.copyto(self.disparity[window], surface, where=where)
        np.copyto(self.color[window], color, where=where[..., None])

    def _nearest_sample(self, centre):
        last = len(self.position) - 1
        return tuple(np.clip((np.array(centre) * SUPERSAMPLING).astype(int), 0, last))

    def _disparity_at(self, centre):
        return self.disparity[self._nearest_sample(centre)]

    def _color_at(self, centre):
        return self.color[self._nearest_sample(centre)]

    def _some_color(self):
        return self.palette[self.rng.integers(len(self.palette))] * self.rng.uniform(0.7, 1.2)


def _plane(disparity, slope, row, col):
    return float(disparity) + float(slope[0]) * row + float(slope[1]) * col


def _object_axes(row, col, turn):
    """Positions along an object's own axes, which are turned by `turn` against columns and rows."""
    return (
        math.cos(turn) * col + math.sin(turn) * row,
        math.cos(turn) * row - math.sin(turn) * col,
    )


def _reach(half_u, half_v, turn):
    """Half the size, in rows and columns, of the box around a turned object."""
    cos, sin = abs(math.cos(turn)), abs(math.sin(turn))
    return sin * half_u + cos * half_v, cos * half_u + sin * half_v


def _blur(image, sigma):
    """Gaussian blur along the first two axes; the border is not darkened."""

    def weights(size):
        distance = np.arange(size)[:, None] - np.arange(size)
        gauss = np.exp(-0.5 * (distance / sigma) ** 2).astype(np.float32)
        return gauss / gauss.sum(1, keepdims=True)

    image = np.tensordot(weights(image.shape[0]), image, (1, 0))
    return np.moveaxis(np.tensordot(weights(image.shape[1]), image, (1, 1)), 0, 1)


def _photograph(rng, image):
    """Changes the colours as a lamp, a lens and a sensor do."""
    light = 1 + rng.uniform(0, 0.5) * smooth_noise(rng, image.shape[:2], image.shape[0] / 2)
    tint = 1 + rng.uniform(-0.1, 0.1, 3)
    image = np.clip(image * light[..., None] * tint * rng.uniform(0.7, 1.3), 0, 1)
    image = image ** rng.uniform(0.7, 1.4)
    if rng.random() < 0.7:
        image = _blur(image, rng.uniform(0.3, 0.9))
    noise = rng.uniform(0, 0.03) * np.sqrt(0.2 + image)
    image = image + noise * rng.normal(size=image.shape)
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
