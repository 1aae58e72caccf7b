"""Where the core on PyTorch is called from, and with what; `tests/test_backends.py` runs this."""

import concurrent.futures
import multiprocessing
import shutil
import sys
import warnings

import keras
import numpy as np
import pytest
import torch

import keras_pac
from keras_pac.ops._geometry.window import convolution_window
from keras_pac.ops._implementations import library
from keras_pac.ops._implementations.compiled import Options, native
from keras_pac.ops._implementations.compiled.problem import Problem
from tests.support.tolerances import assert_close
from tests.support.torch_operators import SUM, SUM_GRADIENT, arguments, array_of


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """For all threads, which `keras_pac.implementation` would not be."""
    keras_pac.set_implementation("compiled")
    yield
    keras_pac.set_implementation("auto")


def compute(x, guide, filter):
    """Both operators, and the one that takes K from the guide."""
    adapting = keras_pac.ops.adapting_kernel(guide, 3, padding="same", normalize=True)
    y = keras_pac.ops.pac_conv2d(x, adapting, filter, padding="same")
    return y + keras_pac.ops.pac_pool2d(y, adapting, 3, padding="same")


def small_images():
    torch.manual_seed(0)
    return [torch.rand(shape, requires_grad=True) for shape in ((2, 6, 5, 3), (2, 6, 5, 2))]


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
def test_compiled_by_torch(backend, dynamic):
    """As one graph, with the same values and gradients."""
    if backend == "inductor" and shutil.which("g++") is None:
        pytest.skip("there is no C++ compiler")
    inputs = [*small_images(), torch.rand(3, 3, 3, 4, requires_grad=True)]
    compiled = torch.compile(compute, fullgraph=True, backend=backend, dynamic=dynamic)
    results = []
    for function in (compute, compiled):
        y = function(*inputs)
        results.append([y, *torch.autograd.grad(y.sin().sum(), inputs)])
    for expected, actual in zip(*results):
        assert_close(array_of(actual), array_of(expected), "float32")


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_training_step_compiled_by_torch(backend):
    x, guide = small_images()
    layer = keras_pac.PacConv2D(4, 3, strides=2, padding="same", smoothing=("learned", 3))
    layer([x, guide])

    def step(function):
        start = [weight.value.detach().clone() for weight in layer.weights]
        optimizer = torch.optim.SGD([weight.value for weight in layer.weights], 0.1)
        optimizer.zero_grad()
        function(x, guide).square().sum().backward()
        optimizer.step()
        results = [array_of(weight.value) for weight in layer.weights]
        for weight, value in zip(layer.weights, start):
            weight.assign(value)
        return results

    compiled = torch.compile(lambda *inputs: layer([*inputs]), fullgraph=True, backend=backend)
    for expected, actual in zip(step(lambda *inputs: layer([*inputs])), step(compiled)):
        assert_close(actual, expected, "float32")


SMOOTHINGS = ["gaussian", ("average", 3)]
IN_ONE_GRAPH = {
    **{f"smoothing {s[0]}": (keras_pac.PacConv2D(4, 3, smoothing=s), 1, 2) for s in SMOOTHINGS},
    "transposed": (keras_pac.PacConv2DTranspose(4, 3, strides=2, padding="same"), 2, 2),
    "pool": (keras_pac.PacPool2D(3, normalize_kernel=True), 1, 2),
    "a network": (keras_pac.models.PacJointUpsampleLite(4), 4, 3),
}


@pytest.mark.parametrize("name", IN_ONE_GRAPH)
def test_layers_in_one_graph(name):
    layer, factor, channels = IN_ONE_GRAPH[name]
    inputs = [torch.rand(2, 6, 5, 1), torch.rand(2, 6 * factor, 5 * factor, channels)]
    expected = layer(inputs)
    compiled = torch.compile(lambda *inputs: layer([*inputs]), fullgraph=True, backend="aot_eager")
    assert_close(array_of(compiled(*inputs)), array_of(expected), "float32")


def test_a_crf_in_one_graph():
    inputs = small_images()
    crf = keras_pac.PacCRF({"compatibility": "potts", "kernel_size": 3}, steps=2)
    compiled = torch.compile(lambda *x: crf([*x]), fullgraph=True, backend="aot_eager")
    results = []
    for function in (lambda *x: crf([*x]), compiled):
        y = function(*inputs)
        results.append([y, *torch.autograd.grad(y.sin().sum(), inputs)])
    for expected, actual in zip(*results):
        assert_close(array_of(actual), array_of(expected), "float32")


def test_autocast():
    x, guide = small_images()
    layer = keras_pac.PacConv2D(4, 3, padding="same")
    expected = layer([x, guide])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer([torch.nn.functional.linear(x, torch.eye(3)), guide])
    assert_close(array_of(y), array_of(expected), "bfloat16")
    y.sum().backward()
    assert x.grad.dtype == torch.float32 and torch.isfinite(x.grad).all()


VIEWS = {
    "permuted": lambda t: (
        t.permute(*reversed(range(t.ndim))).contiguous().permute(*reversed(range(t.ndim)))
    ),
    "every second": lambda t: torch.stack([t, t + 1], -1)[..., 0],
    "offset": lambda t: torch.cat([t, t])[len(t) :],
    "reversed in NumPy": lambda t: torch.from_numpy(t.numpy()[::-1].copy()[::-1].copy()),
    "neg bit": lambda t: torch._neg_view(-t),
}


@pytest.mark.parametrize("view", VIEWS)
def test_views(view):
    values = [v.detach() if torch.is_tensor(v) else v for v in arguments()]
    views = [VIEWS[view](v) if torch.is_tensor(v) else v for v in values]
    assert torch.equal(SUM(*views), SUM(*values))
    upstream = VIEWS[view](torch.rand(2, 5, 4, 2, dtype=torch.float64))
    wanted = [value is not None for value in values[:-1]]
    found = SUM_GRADIENT(*views[:-1], upstream, views[-1], wanted)
    expected = SUM_GRADIENT(*values[:-1], upstream.clone(), values[-1], wanted)
    assert all(torch.equal(*pair) for pair in zip(found, expected))


def test_expanded():
    """As the gradient of a sum is, with strides of 0."""
    *values, numbers = arguments()
    x = torch.rand(1, 1, 1, 3, dtype=torch.float64).expand(2, 5, 4, 3).requires_grad_()
    values[0] = x
    assert torch.equal(SUM(*values, numbers), SUM(x.contiguous(), *values[1:], numbers))
    SUM(*values, numbers).sum().backward()
    assert x.grad.shape == x.shape


def test_devices():
    *values, numbers = arguments()
    meta = [None if value is None else value.detach().to("meta") for value in values]
    assert SUM(*meta, numbers).shape == (2, 5, 4, 2)
    with pytest.raises(ValueError, match="one device"):
        SUM(meta[0], *values[1:], numbers)


@pytest.mark.parametrize(("cuda", "chosen"), [(False, "taps"), (True, "compiled")])
def test_auto_keeps_images_on_a_gpu(monkeypatch, cuda, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(library, "has_cuda", lambda: cuda)
    with keras_pac.implementation("auto"):
        assert keras_pac.get_implementation() == chosen


def test_without_gradients():
    values = arguments()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            y = SUM(*values)
        assert not y.requires_grad and torch.equal(y, SUM(*values))


def heavy():
    """Work for several threads of the core, and none for those of PyTorch."""
    x, guide = (torch.linspace(0, 1, 2 * 40 * 30 * c).reshape(2, 40, 30, c) for c in (5, 3))
    filter = torch.linspace(-1, 1, 3 * 3 * 5 * 7).reshape(3, 3, 5, 7)
    window = convolution_window((40, 30), (3, 3), (1, 1), "same", (1, 1))
    numbers = Problem(True, window, Options()).numbers()
    return SUM(x, None, guide, None, None, None, filter, None, numbers)


def compare_in_child(expected):
    sys.exit(0 if torch.equal(heavy(), expected) else 1)


def test_a_forked_process():
    """It has none of the threads of its parent."""
    context = multiprocessing.get_context("fork")
    child = context.Process(target=compare_in_child, args=(heavy(),))
    child.start()
    child.join(30)
    child.kill()
    assert child.exitcode == 0


def test_many_threads_at_once():
    expected = heavy()
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert all(torch.equal(y, expected) for y in threads.map(lambda _: heavy(), range(24)))


def trained_model():
    x, guide = keras.Input((6, 5, 3)), keras.Input((6, 5, 2))
    y = keras_pac.PacConv2D(4, 3, padding="same")([x, guide])
    y = keras_pac.PacPool2D(3, padding="same", normalize_kernel=True)([y, guide])
    model = keras.Model([x, guide], y)
    model.compile("sgd", "mse")
    data = [array_of(image).astype("float32") for image in small_images()]
    losses = model.fit(data, np.ones((2, 6, 5, 4), "float32"), epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    return model, data


def test_fit_save_and_load(tmp_path):
    model, data = trained_model()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(data, verbose=0), model.predict(data, verbose=0))


def test_what_is_exported_has_no_operator_of_ours():
    """With strict=True Keras stops PyTorch: its operations count themselves to get their names."""
    model, data = trained_model()
    images = [torch.tensor(image) for image in data]
    program = torch.export.export(model.eval(), (images,), strict=False)
    assert "keras_pac" not in str(program.graph)
    assert_close(array_of(program.module()(images)), array_of(model(images)), "float32")


def test_what_is_traced_has_no_operator_of_ours():
    model, data = trained_model()
    images = [torch.tensor(image) for image in data]

    class Flat(torch.nn.Module):
        """Takes the images one by one, as the tracer wants it."""

        def __init__(self):
            super().__init__()
            self.model = model.eval()

        def forward(self, *images):
            return self.model([*images])

    traced = torch.jit.trace(Flat(), images)
    assert "keras_pac::" not in str(traced.inlined_graph)
    assert_close(array_of(traced(*images)), array_of(model(images)), "float32")


@pytest.mark.parametrize("state", ["missing", "damaged"])
def test_without_the_library_taps_runs(state, tmp_path, monkeypatch):
    if state == "damaged":
        for path in library.FOLDER.glob("libkeras_pac_core.*"):
            (tmp_path / path.name).write_bytes(
                path.read_bytes()[: 5000 if path.suffix == ".so" else None]
            )
    caches = library.load, library.chosen_folder, library.warn_if_refused
    with monkeypatch.context() as patch:
        patch.setattr(library, "FOLDER", tmp_path)
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        for cache in caches:
            cache.cache_clear()
        (reason,) = keras_pac.not_supported_reasons("compiled")
        assert reason.endswith(".") and "keras_pac.build" in reason
        with keras_pac.implementation("auto"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert keras_pac.get_implementation() == "taps"
            assert keras_pac.PacConv2D(2, 3)(torch.ones(1, 5, 5, 2)).shape == (1, 3, 3, 2)
    for cache in caches:
        cache.cache_clear()


def test_calls_of_the_same_shapes_are_planned_once():
    SUM(*arguments())
    before = native._plan.cache_info().misses
    SUM(*arguments())
    assert native._plan.cache_info().misses == before
