"""Values and derivatives of the core on PyTorch; `tests/test_backends.py` runs this file."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch

import keras_pac
from keras_pac.ops._implementations.compiled import native
from tests.support.cases import (
    GOLDEN_NAMES,
    OPERATIONS,
    load_golden,
    make_case,
    random_case,
    rounded_case,
)
from tests.support.image_sums import CASES, KINDS, problem, rounded, windowed_sum
from tests.support.runners import golden_layer
from tests.support.tolerances import assert_close, assert_gradients_close
from tests.support.torch_operators import (
    KERNEL,
    KERNEL_GRADIENT,
    MASK,
    SUM,
    SUM_GRADIENT,
    SUM_INPUTS,
    arguments,
    array_of,
    ops_with_gradients,
)


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """For all threads, which `keras_pac.implementation` would not be."""
    keras_pac.set_implementation("compiled")
    yield
    keras_pac.set_implementation("auto")


def check(case, dtype):
    y, adapting, output_mask, gradients = ops_with_gradients(case, dtype)
    assert_close(y, case.y, dtype, "y")
    if case.adapting_kernel is not None:
        assert_close(adapting, case.adapting_kernel, dtype, "adapting kernel")
    if case.output_mask is not None:
        np.testing.assert_array_equal(output_mask, case.output_mask)
    return gradients


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_golden(name):
    case = load_golden(name)
    assert_gradients_close(check(case, "float64"), case.gradients, "float64")


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_golden_layer(name):
    """Here the core may take K from the guide, in one pass."""
    case, layer = load_golden(name), golden_layer(name, "float64")
    tensors = {
        name: torch.tensor(array.copy(), requires_grad=name in case.gradients)
        for name, array in case.arrays.items()
    }
    calls = {key: tensors[key] for key in ("adapting_kernel", "valid_mask") if key in tensors}
    y = layer([tensors[key] for key in ("x", "guide") if key in tensors], **calls)
    y = y[0] if "valid_mask" in calls else y
    assert_close(array_of(y), case.y, "float64", "y")
    names = [key for key in ("x", "guide", "adapting_kernel") if key in case.gradients]
    found = torch.autograd.grad(y, [tensors[key] for key in names], torch.tensor(case.grad_y))
    for key, gradient in zip(names, found):
        assert_close(array_of(gradient), case.gradients[key], "float64", f"gradient of {key}")


def rounded_by_torch(array, dtype):
    return array_of(torch.tensor(array.copy()).to(getattr(torch, dtype)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_random_problems(operation, seed):
    case = random_case(operation, seed)
    for dtype in ("float64", "float32"):
        assert_gradients_close(check(case, dtype), case.gradients, dtype)
    for dtype in ("float16", "bfloat16"):
        few = rounded_case(case, partial(rounded_by_torch, dtype=dtype))
        assert_gradients_close(check(few, dtype), few.gradients, dtype)


def image_sum(implementation, window, arrays, dtype="float64", softmax=True):
    """y, and {name: gradient of sum(y * upstream)}."""
    tensors = {
        name: torch.tensor(array).to(getattr(torch, dtype)) for name, array in arrays.items()
    }
    upstream = tensors.pop("upstream")
    y = windowed_sum(implementation, window, _leaves(tensors), softmax)
    gradients = torch.autograd.grad(y, tensors.values(), upstream)
    assert y.dtype == upstream.dtype
    return array_of(y), dict(zip(tensors, map(array_of, gradients)))


def _leaves(tensors):
    return {name: tensor.requires_grad_() for name, tensor in tensors.items()}


@pytest.mark.parametrize(("channels", "dtype"), CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_sums_of_an_image(kind, channels, dtype, rng):
    window, arrays = problem(kind, channels, rng)
    for softmax in (False, True):
        y, gradients = image_sum("compiled", window, arrays, dtype, softmax)
        expected, wanted = image_sum("taps", window, rounded(arrays, dtype), softmax=softmax)
        assert_close(y, expected, dtype)
        assert_gradients_close(gradients, wanted, dtype)


@pytest.mark.parametrize("kind", ["full", "shared"])
def test_derivatives_of_a_softmax(kind, rng):
    window, arrays = problem(kind, 2, rng, 1, (3, 4))
    del arrays["upstream"]
    names = list(arrays)

    def function(*values):
        return windowed_sum("compiled", window, dict(zip(names, values)))

    values = [torch.tensor(array).requires_grad_() for array in arrays.values()]
    torch.autograd.gradcheck(function, values, fast_mode=True)
    torch.autograd.gradgradcheck(function, values, fast_mode=True)


@pytest.mark.parametrize("shape", [(0, 5, 4, 3), (2, 1, 1, 3)])
def test_no_image_and_an_image_of_one_pixel(shape):
    x = torch.randn(shape, requires_grad=True)
    layer = keras_pac.PacConv2D(2, 3, padding="same", kernel_type="inverse", alpha=0.5, exponent=1)
    y = layer(x)
    y.sum().backward()
    with keras_pac.implementation("taps"):
        expected = layer(x)
    assert_close(array_of(y), array_of(expected), "float32")
    assert y.shape == (*shape[:3], 2) and x.grad.shape == shape
    assert torch.isfinite(layer.kernel.value.grad).all()


def test_the_same_bits_with_any_number_of_threads(rng):
    case = make_case(rng, "conv", (5, 5), (40, 30), batch=2, channels=5, filters=7)
    case.gradients = case.sources

    def bits(threads):
        torch.set_num_threads(threads)
        return pickle.dumps(ops_with_gradients(case, "float32"))

    before = torch.get_num_threads()
    expected = bits(1)
    assert all(bits(threads) == expected for threads in (1, 2, 2, 4))
    torch.set_num_threads(before)


CALLS = {
    "guided": (SUM, arguments()),
    "given K": (SUM, arguments(given=True)),
    "inverse": (SUM, arguments(kernel_type="inverse")),
    "kernel": (KERNEL, arguments(False)),
    "masked": (KERNEL, arguments(False, kernel_type="inverse", valid_mask=MASK)),
    "normalized": (KERNEL, arguments(False, normalize=True)),
}


def gradient_call(operator, values):
    """The gradient operator of an operator, and its arguments."""
    *tensors, numbers = values
    is_sum = operator is SUM
    upstream = torch.rand((2, 5, 4, 2) if is_sum else (2, 5, 4, 9, 1), dtype=tensors[0].dtype)
    wanted = [tensor is not None and tensor.requires_grad for tensor in tensors]
    operator = SUM_GRADIENT if is_sum else KERNEL_GRADIENT
    return operator, (*tensors, upstream.requires_grad_(), numbers, wanted)


@pytest.mark.parametrize("name", ["inverse", "masked"])
def test_the_operators_are_as_torch_wants_them(name):
    torch.library.opcheck(*CALLS[name])
    torch.library.opcheck(*gradient_call(*CALLS[name]))


@pytest.mark.parametrize("name", CALLS)
def test_derivatives_are_those_of_finite_differences(name):
    operator, (*tensors, numbers) = CALLS[name]
    there = [i for i, tensor in enumerate(tensors) if tensor is not None and tensor.requires_grad]

    def function(*values):
        full = list(tensors)
        for i, value in zip(there, values):
            full[i] = value
        y = operator(*full, numbers)
        return y if operator is SUM else y[0]

    values = [tensors[i] for i in there]
    torch.autograd.gradcheck(function, values, fast_mode=True)
    torch.autograd.gradgradcheck(function, values, fast_mode=True)


def test_third_derivatives():
    def second(x):
        y = SUM(*arguments(x=x, guide=x[..., :2], center=None)).sin().sum()
        (first,) = torch.autograd.grad(y, x, create_graph=True)
        return torch.autograd.grad(first.sin().sum(), x, create_graph=True)[0]

    x = torch.rand((2, 5, 4, 3), dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(second, x, fast_mode=True)


def test_the_derivative_of_one_gradient_of_several():
    *values, numbers = arguments()
    x, filter = values[0], values[SUM_INPUTS.index("filter")]

    def second(by):
        """Of the gradient by the filter, where the core computes those by all of `by`."""
        y = SUM(*values, numbers).sin().sum()
        first = torch.autograd.grad(y, by, create_graph=True)[0]
        return array_of(torch.autograd.grad(first.sin().sum(), x)[0])

    expected = second([filter])
    assert np.abs(expected).max() > 0
    assert_close(second([filter, *(v for v in values if v is not None)]), expected, "float64")


def test_only_the_gradients_that_are_needed_are_computed(monkeypatch):
    seen = []
    run = native.run

    def spy(*arguments):
        results = run(*arguments)
        seen.append(list(results))
        return results

    monkeypatch.setattr(native, "run", spy)
    *values, numbers = [v.detach() if torch.is_tensor(v) else v for v in arguments()]
    values[SUM_INPUTS.index("filter")].requires_grad_()
    SUM(*values, numbers).sum().backward()
    assert seen == [["y"], ["filter"]]
