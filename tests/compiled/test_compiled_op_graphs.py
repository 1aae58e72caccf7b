"""The compiled code in graphs: the op, the core inside XLA, neither in what is exported."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pac
from keras_pac.ops._implementations import library, tracing
from keras_pac.ops._implementations.compiled import on_tensorflow, on_tensorflow_xla
from tests.support.compiled_op import needs_op
from tests.support.exported import LOAD
from tests.support.processes import output_of
from tests.support.tolerances import assert_close

pytestmark = needs_op


def operations_of(function):
    """The op types in a concrete function and all that it calls."""
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    return {node.op for node in nodes}


def small_model():
    x, guide = keras.Input((6, 6, 3)), keras.Input((6, 6, 2))
    y = keras_pac.PacConv2D(4, 3, padding="same")([x, guide])
    y = keras_pac.PacPool2D(3, padding="same", normalize_kernel=True)([y, guide])
    return keras.Model([x, guide], y)


@pytest.fixture
def data(rng):
    return [rng.normal(size=(4, 6, 6, channels)).astype("float32") for channels in (3, 2)]


@pytest.fixture
def compiled():
    with keras_pac.implementation("compiled"):
        yield


class Recorder(keras.layers.Layer):
    """The identity; records whether XLA compiles the graph that it is traced into."""

    def call(self, x):
        self.in_xla = tf.__internal__.get_enclosing_xla_context() is not None
        return x


@pytest.fixture
def traced(monkeypatch):
    """The modules whose functions are called while a graph is traced."""
    calls = []

    def count(module, function):
        def counted(*arguments):
            calls.append(module)
            return function(*arguments)

        return counted

    for module in (on_tensorflow, on_tensorflow_xla):
        monkeypatch.setattr(module, "windowed_sum", count(module, module.windowed_sum))
    return calls


def recording_model():
    model = small_model()
    return keras.Model(model.inputs, Recorder(name="recorder")(model.output))


@pytest.mark.parametrize("jit_compile", ["auto", True, False])
@pytest.mark.filterwarnings("error:Model doesn't support `jit_compile=True`")
def test_a_model_trains_and_predicts(compiled, data, traced, jit_compile):
    """Without a GPU, XLA runs where it is asked for, and calls the core."""
    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU")
    model = recording_model()
    model.compile("sgd", "mse", jit_compile=jit_compile)

    def check():
        assert model.get_layer("recorder").in_xla is (jit_compile is True)
        in_xla = jit_compile is True and not library.not_in_xla_reasons()
        assert set(traced) == (
            {on_tensorflow_xla} if in_xla else set() if jit_compile is True else {on_tensorflow}
        )
        traced.clear()

    losses = model.fit(data, np.ones((4, 6, 6, 4), "float32"), epochs=3, verbose=0).history["loss"]
    check()
    assert losses[-1] < losses[0]
    predictions = model.predict(data, verbose=0)
    check()
    assert model.jit_compile is (jit_compile is True)
    assert_close(predictions, model(data), "float32")


class Gpu:
    device_type = "GPU"


@pytest.mark.parametrize("jit_compile", ["auto", True])
@pytest.mark.filterwarnings("ignore:Model doesn't support `jit_compile=True`")
def test_xla_stays_off_where_there_is_a_gpu(compiled, data, traced, monkeypatch, jit_compile):
    """With a GPU "auto" would turn XLA on, and the op with CUDA kernels would never run."""
    model = small_model()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: [Gpu])
    model.compile("sgd", "mse", jit_compile=jit_compile)
    assert not model.jit_compile
    with keras_pac.implementation("taps"):
        model.compile("sgd", "mse", jit_compile=jit_compile)
        assert model.jit_compile


@pytest.mark.parametrize(("cuda", "chosen"), [(False, "taps"), (True, "compiled")])
def test_auto_keeps_images_on_a_gpu(compiled, monkeypatch, cuda, chosen):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: [Gpu])
    monkeypatch.setattr(library, "has_cuda", lambda: cuda)
    with keras_pac.implementation("auto"):
        assert keras_pac.get_implementation() == chosen


@pytest.fixture
def in_xla():
    if reasons := library.not_in_xla_reasons():
        pytest.skip(reasons[0])


@pytest.fixture
def no_call_from_xla(monkeypatch):
    monkeypatch.setattr(library, "not_in_xla_reasons", lambda: ["none today."])


def jit_compiled(function, data, unknown=()):
    """The function in XLA, and the operations in its graph; some sizes are not known to it."""
    specs = [
        tf.TensorSpec([None if axis in unknown else n for axis, n in enumerate(a.shape)])
        for a in data
    ]
    function = tf.function(function, jit_compile=True, input_signature=specs)
    return function, operations_of(function.get_concrete_function())


@pytest.mark.parametrize(
    ("unknown", "called"), [((), True), ((0,), True), ((1,), False), ((0, 1, 2), False)]
)
def test_xla_calls_the_core_where_it_knows_the_size_of_the_images(
    compiled, in_xla, data, unknown, called
):
    layer = keras_pac.PacConv2D(4, 3)
    expected = layer(data)
    inner = tf.function(lambda x, guide: layer([x, guide]))
    for run in (lambda x, guide: layer([x, guide]), lambda x, guide: inner(x, guide)):
        function, operations = jit_compiled(run, data, unknown)
        assert ("XlaCallModule" in operations) == called
        assert not any("KerasPac" in name for name in operations)
        assert_close(function(*data), expected, "float32")
        if 0 in unknown:
            assert_close(function(*[array[:1] for array in data]), expected[:1], "float32")


def test_where_xla_cannot_call_the_core_the_portable_code_runs(compiled, no_call_from_xla, data):
    layer = keras_pac.PacConv2D(4, 3)
    expected = layer(data)
    function, operations = jit_compiled(lambda x, guide: layer([x, guide]), data)
    assert not any("KerasPac" in name or name == "XlaCallModule" for name in operations)
    assert_close(function(*data), expected, "float32")


LAYERS = {
    "conv": (keras_pac.PacConv2D, {"strides": 2, "smoothing": ("learned", 3)}),
    "inverse": (keras_pac.PacConv2D, {"kernel_type": "inverse", "alpha": 0.3, "exponent": 0.7}),
    "shared": (keras_pac.PacConv2D, {"shared_filters": True, "asymmetric": True}),
    "transposed": (keras_pac.PacConv2DTranspose, {"padding": 1}),
    "normalized": (keras_pac.PacConv2D, {"dilation_rate": 2, "normalize_kernel": True}),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients_in_xla_are_those_of_the_op(compiled, in_xla, data, name, dtype):
    make, options = LAYERS[name]
    layer = make(3, 3, **options, dtype=dtype)
    data = [tf.cast(array, layer.variable_dtype) for array in data]
    layer(data)

    def step(x, guide):
        with tf.GradientTape() as tape:
            tape.watch([x, guide])
            loss = tf.reduce_sum(tf.sin(tf.cast(layer([x, guide]), "float64")))
        return loss, tape.gradient(loss, [x, guide, *[w.value for w in layer.trainable_weights]])

    expected = step(*data)
    function = tf.function(step, jit_compile=True)
    assert "XlaCallModule" in operations_of(function.get_concrete_function(*data))
    found = function(*data)
    for ours, its in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        assert_close(ours, its, "bfloat16" if dtype == "mixed_bfloat16" else dtype)


def test_masks_and_second_derivatives_in_xla(compiled, in_xla, rng):
    """A gradient penalty, with a valid mask, against the same outside XLA."""
    x, guide = (tf.constant(rng.normal(size=(2, 5, 6, channels))) for channels in (2, 3))
    mask = tf.constant(rng.integers(0, 2, (2, 5, 6, 1)), "float64")
    layer = keras_pac.PacConv2D(3, 3, dtype="float64")
    layer([x, guide])

    def penalty(x, guide):
        with tf.GradientTape() as outer:
            outer.watch([x, guide])
            with tf.GradientTape() as inner:
                inner.watch([x, guide])
                y, output_mask = layer([x, guide], valid_mask=mask)
                loss = tf.reduce_sum(tf.sin(y) * output_mask)
            gradients = inner.gradient(loss, [x, guide])
            total = tf.add_n([tf.reduce_sum(gradient**2) for gradient in gradients])
        return total, outer.gradient(total, [x, guide])

    expected, found = penalty(x, guide), tf.function(penalty, jit_compile=True)(x, guide)
    for ours, its in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        assert_close(ours, its, "float64")


def test_xla_names_the_switch_where_a_function_was_traced_before(compiled, data):
    layer = keras_pac.PacConv2D(4, 3)
    inner = tf.function(lambda x, guide: layer([x, guide]))
    inner(*data)
    outer = tf.function(lambda x, guide: inner(x, guide), jit_compile=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="set_implementation_taps"):
        outer(*data)


def test_a_model_is_first_traced_by_a_strategy(compiled, data, monkeypatch):
    """What the graphs capture belongs to no strategy, though the first of them is traced in one."""
    monkeypatch.setattr(tracing, "_variable", functools.cache(tracing._variable.__wrapped__))
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = small_model()
        model.compile("sgd", "mse")
    loss = np.mean((model(data) - 1.0) ** 2)
    history = model.fit(data, np.ones((4, 6, 6, 4), "float32"), batch_size=4, verbose=0)
    assert_close(history.history["loss"][0], loss, "float32")


def save_by_export(model, data, path):
    model.export(path, verbose=False)


def save_the_model(model, data, path):
    tf.saved_model.save(model, path)


def save_a_traced_function(model, data, path):
    module = tf.Module()
    module.model = model
    module.serve = tf.function(lambda a, b: model([a, b]))
    module.serve(*data)
    specs = [tf.TensorSpec((None, *array.shape[1:])) for array in data]
    signature = tf.function(lambda a, b: {"y": module.serve(a, b)}, input_signature=specs)
    tf.saved_model.save(module, path, signatures=signature)


@pytest.mark.parametrize("save", [save_by_export, save_the_model, save_a_traced_function])
def test_what_is_saved_runs_without_the_package(compiled, data, tmp_path, save):
    model = small_model()
    model.compile("sgd", "mse")
    model.fit(data, np.ones((4, 6, 6, 4), "float32"), verbose=0)
    expected = model.predict(data, verbose=0)
    save(model, data, str(tmp_path / "model"))
    assert b"KerasPac>" not in (tmp_path / "model" / "saved_model.pb").read_bytes()
    np.savez(tmp_path / "inputs.npz", a=data[0], b=data[1])
    load = LOAD
    if save is not save_by_export:
        # Only `export` adds the function `serve` of a list.
        load = load.replace(
            "model.serve([tf.constant(inputs[name]) for name in sorted(inputs.files)])",
            "next(iter(call(model, inputs).values()))",
        ).replace(
            "folder = sys.argv[1]",
            "def call(model, inputs):\n"
            "    serve = model.signatures['serving_default']\n"
            "    specs = serve.structured_input_signature[1]\n"
            "    arrays = {a.shape[-1]: a for a in (inputs['a'], inputs['b'])}\n"
            "    return serve(**{k: tf.constant(arrays[s.shape[-1]]) for k, s in specs.items()})\n"
            "\n\nfolder = sys.argv[1]",
        )
    output_of(load, arguments=[tmp_path], path=[])
    assert_close(np.load(tmp_path / "outputs.npy"), expected, "float32")


def test_saving_a_concrete_function_names_the_switch(compiled, data, tmp_path):
    layer = keras_pac.PacConv2D(4, 3)
    layer(data)
    module = tf.Module()
    module.layer = layer
    function = tf.function(lambda x, guide: layer([x, guide]))
    concrete = function.get_concrete_function(*map(tf.constant, data))
    with pytest.raises(AssertionError, match=r"keras_pac.set_implementation\('taps'\)"):
        tf.saved_model.save(module, str(tmp_path), signatures=concrete)


def test_graphs_of_sessions(compiled, data):
    """Each graph gets a resource of its own."""
    layer = keras_pac.PacConv2D(4, 3)
    expected = layer(data)
    weights = [np.asarray(weight) for weight in layer.weights]
    for _ in range(2):
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            function = tf.function(lambda x, guide: layer.stateless_call(weights, [], [x, guide]))
            y, _ = function(*map(tf.constant, data))
            assert_close(session.run(y), expected, "float32")
