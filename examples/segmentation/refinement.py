"""Refinement of label probabilities without training."""

import functools
import json

import numpy as np
from keras import ops

from examples.training.errors import UserError, explained
from keras_pac.models import refine
from keras_pac.ops import checks


def refinement(args):
    """The function of (logits, image) that `--refine` asks for; without it, one of the logits."""
    if args.refine is None:
        if args.refine_options:
            raise UserError("--refine-options needs --refine")
        return lambda logits, image: logits
    options = options_of(args.refine_options)
    if "method" in options:
        raise UserError(f"--refine is the method. Received: {args.refine_options}")
    function = full_crf
    if args.refine != "full-crf":
        function = functools.partial(refine, method=args.refine)

    def refined(logits, image):
        with explained("--refine: ", ValueError, TypeError):
            return function(ops.convert_to_numpy(ops.softmax(logits)), image, **options)

    return refined


def options_of(text):
    """Keyword arguments from JSON; none from None."""
    try:
        options = json.loads(text or "{}")
        if isinstance(options, dict):
            return options
    except json.JSONDecodeError:
        pass
    raise UserError(
        f"--refine-options must be a JSON object, like '{{\"steps\": 5}}'. Received: {text}"
    )


def full_crf(
    probabilities, image, *, weight=10, color_scale=13, position_scale=80, near_weight=3, steps=5
):
    """Mean-field inference of a CRF in which every pixel is a neighbour of every other.

        K(i, j) = weight * k(i, j) / sqrt(sum_m k(i, m) * sum_m k(j, m))     for each of
        k(i, j) = exp(-|p_i - p_j|^2 / (2 position_scale^2) - |I_i - I_j|^2 / (2 color_scale^2))
        k(i, j) = exp(-|p_i - p_j|^2 / (2 * 3^2))                            with near_weight

    Args:
        probabilities: (H, W, C) of numbers from 0 to 1.
        image: (H, W, 3) of uint8.
        weight, near_weight: positive numbers.
        color_scale: number in units of colours from 0 to 255, 1 at least.
        position_scale: number in pixels, 1 at least.
        steps: int, steps of inference.

    Returns:
        Probabilities, float32 (H, W, C).

    Reference:
        Krähenbühl and Koltun, Efficient Inference in Fully Connected CRFs with Gaussian Edge
        Potentials, NIPS 2011 (arXiv 1210.5644).
    """
    for name, value in {"weight": weight, "near_weight": near_weight}.items():
        checks.positive_number(name, value)
    for name, value in {"color_scale": color_scale, "position_scale": position_scale}.items():
        checks.number(name, value)
        if value < 1:  # the lattice overflows, and the process ends
            raise ValueError(f"`{name}` must be at least 1. Received: {name}={value!r}")
    checks.positive_integer("steps", steps)
    energies = -np.log(np.maximum(probabilities, 1e-7))
    options = {"weight": weight, "near_weight": near_weight, "steps": steps}
    scales = {"color_scale": color_scale, "position_scale": position_scale}
    try:
        infer = full_crf_inference(energies, image, **scales, **options)
    except ImportError as error:
        raise UserError(
            "--refine full-crf needs the package pydensecrf (CONTRIBUTING.md says how to "
            f"install it): {error}"
        ) from error
    return infer()


def full_crf_inference(
    energies, image, *, color_scale, position_scale, weight=10, near_weight=3, steps=5
):
    """A function without arguments that does what `full_crf` does; `energies` are -log(P).

    Raises:
        ImportError: where pydensecrf is not installed.
    """
    from pydensecrf.densecrf import DenseCRF2D

    height, width, classes = energies.shape
    energies = np.ascontiguousarray(energies.reshape(-1, classes).T, np.float32)
    image = np.array(image, order="C")  # pydensecrf takes no array that is read-only

    def infer():
        crf = DenseCRF2D(width, height, classes)
        crf.setUnaryEnergy(energies)
        crf.addPairwiseGaussian(sxy=3, compat=near_weight)
        crf.addPairwiseBilateral(sxy=position_scale, srgb=color_scale, rgbim=image, compat=weight)
        q = np.asarray(crf.inference(steps))
        return q.reshape(classes, height, width).transpose(1, 2, 0)

    return infer
