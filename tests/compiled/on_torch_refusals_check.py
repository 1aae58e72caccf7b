"""The operators of PyTorch themselves, misused; `tests/test_backends.py` runs this file."""

import pytest
import torch

from tests.support.torch_operators import (
    KERNEL,
    KERNEL_GRADIENT,
    MASK,
    SUM,
    SUM_GRADIENT,
    arguments,
    ones,
)

WRONG = {
    "x of rank 3": {"x": ones(2, 5, 4)},
    "x of another size": {"x": ones(2, 4, 5, 3)},
    "x of another type": {"x": ones(2, 5, 4, 3, dtype=torch.float32)},
    "x of whole numbers": {"x": ones(2, 5, 4, 3).long()},
    "x without channels": {"x": ones(2, 5, 4, 0)},
    "guide of another size": {"guide": ones(2, 5, 5, 2)},
    "guide of another batch": {"guide": ones(1, 5, 4, 2)},
    "guide of rank 3": {"guide": ones(2, 5, 4)},
    "guide of another type": {"guide": ones(2, 5, 4, 2, dtype=torch.float16)},
    "no guide": {"guide": None, "center": None},
    "guide and K": {"adapting_kernel": ones(2, 5, 4, 9, 1)},
    "center of another size": {"center": ones(2, 5, 4, 1)},
    "gaussian with alpha": {"alpha": ones(1), "exponent": ones(1)},
    "inverse without exponent": {"kernel_type": "inverse", "exponent": None},
    "alpha a channel": {"kernel_type": "inverse", "alpha": ones(2)},
    "alpha of another type": {"kernel_type": "inverse", "alpha": ones(1, dtype=torch.float32)},
    "filter of rank 3": {"filter": ones(3, 3, 3)},
    "filter of another size": {"filter": ones(5, 3, 3, 2)},
    "filter for other channels": {"filter": ones(3, 3, 2, 2)},
    "filter of no outputs": {"filter": ones(3, 3, 3, 0), "bias": None},
    "bias of another size": {"bias": ones(3)},
    "bias of rank 0": {"bias": ones()},
    "image of another size": {"bias": ones(2, 4, 5, 2)},
    "K of other taps": {"given": True, "adapting_kernel": ones(2, 5, 4, 8, 1)},
    "K of rank 4": {"given": True, "adapting_kernel": ones(2, 5, 4, 9)},
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_tensors_are_refused(name):
    values = [v.detach() if torch.is_tensor(v) else v for v in arguments(**WRONG[name])]
    *tensors, numbers = values
    wanted = [tensor is not None for tensor in tensors]
    with pytest.raises((ValueError, RuntimeError)):
        SUM(*values)
    with pytest.raises((ValueError, RuntimeError)):
        SUM_GRADIENT(*tensors, ones(2, 5, 4, 2), numbers, wanted)


def test_wrong_upstream_and_wishes_are_refused():
    *tensors, numbers = arguments()
    wanted = [tensor is not None for tensor in tensors]
    for shape in ((2, 5, 4, 1), (2, 5, 4), (0,), (2, 4, 5, 2)):
        with pytest.raises(ValueError, match="upstream"):
            SUM_GRADIENT(*tensors, ones(*shape), numbers, wanted)
    for wrong in ([True] * 8, wanted[:3], wanted + [True]):
        with pytest.raises(ValueError):
            SUM_GRADIENT(*tensors, ones(2, 5, 4, 2), numbers, wrong)
    *tensors, numbers = arguments(False, valid_mask=MASK)
    with pytest.raises(ValueError, match="valid_mask"):
        KERNEL_GRADIENT(*tensors, ones(2, 5, 4, 9, 1), numbers, [False, False, True, False, False])
    with pytest.raises(ValueError, match="valid_mask"):
        KERNEL(*arguments(False, valid_mask=MASK[:, :4]))


def test_a_gradient_of_an_image_or_a_softmax_is_refused():
    *tensors, numbers = arguments(bias=ones(2, 5, 4, 2))
    wanted = [tensor is not None and tensor.dim() > 1 for tensor in tensors]
    assert SUM(*tensors, numbers).shape == (2, 5, 4, 2)
    with pytest.raises(ValueError, match="not to its gradient"):
        SUM_GRADIENT(*tensors, ones(2, 5, 4, 2), numbers, wanted)
    *tensors, numbers = arguments()
    with pytest.raises(ValueError, match="not to its gradient"):
        SUM_GRADIENT(*tensors, ones(2, 5, 4, 2), [*numbers[:-1], 1], [True] + [False] * 7)


@pytest.mark.parametrize("place", range(18))
@pytest.mark.parametrize("wrong", [-1, 0, 7, 2**62])
def test_wrong_numbers_are_refused_or_fit(place, wrong):
    """Whatever the numbers are: an error, or a result of the right size."""
    *tensors, numbers = arguments()
    numbers[place] = wrong
    try:
        y = SUM(*tensors, numbers)
    except (ValueError, RuntimeError, OverflowError, IndexError, ZeroDivisionError, MemoryError):
        return
    assert y.shape == (2, *numbers[2:4], 2)


def test_the_wrong_count_of_numbers_is_refused():
    *tensors, numbers = arguments()
    for wrong in ([], numbers[:-1], [*numbers, 0]):
        with pytest.raises(ValueError, match="numbers"):
            SUM(*tensors, wrong)
