"""Pixel-adaptive convolutions in the place of some convolutions of a trained network."""

import keras

from keras_pac.layers import PacConv2D
from keras_pac.layers.resize_like import ResizeLike
from keras_pac.ops import checks


def swap_conv2d(model, layer_names, guide, *, scale=1e-4, copy=False):
    """A model in which the named `Conv2D` layers are `PacConv2D` layers with the same weights.

    `y_i = b + sum_j K(f_i, f_j) W[p_i - p_j] x_j` replaces `y_i = b + sum_j W[p_i - p_j] x_j`,
    where f is the output of the layer `guide`, resized bilinearly to the input of each swapped
    layer, times `scale`. With a small scale K is nearly 1, and the new model predicts at first
    what the old one does; fine-tuning then makes use of the guide.

    Args:
        model: a functional or sequential Keras model. It stays as it is.
        layer_names: list of names of `keras.layers.Conv2D` layers, also strided or dilated.
        guide: name of an earlier layer, or of an input, whose output is an image.
        scale: positive number. Defaults to 1e-4.
        copy: bool. Whether the new model gets copies of the other layers, instead of sharing them
            with `model`. Defaults to False.

    Returns:
        A functional Keras model, not compiled; swapped layers keep their names.

    Raises:
        ValueError: if a layer can't be swapped or guide the others; every such layer is named, with
            the reason.

    Example:
        >>> from keras_pac.models import swap_conv2d
        >>> inputs = keras.Input((16, 16, 3))
        >>> early = keras.layers.Conv2D(8, 3, activation="relu", name="early")(inputs)
        >>> late = keras.layers.Conv2D(4, 3, strides=2, name="late")(early)
        >>> model = swap_conv2d(keras.Model(inputs, late), ["late"], guide="early")
        >>> type(model.get_layer("late")).__name__
        'PacConv2D'

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 5
        (arXiv 1904.05373).
    """
    checks.positive_number("scale", scale)
    checks.boolean("copy", copy)
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    names = [layer_names] if isinstance(layer_names, str) else layer_names
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"`layer_names` must be names of layers. Received: layer_names={layer_names!r}"
        )
    _check(model, names, guide)
    swapped = {name: _pac_layer(model.get_layer(name)) for name in names}
    resizes = {
        name: ResizeLike(layer.data_format, scale, name=f"{name}_guide", dtype=layer.dtype_policy)
        for name, layer in swapped.items()
    }
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), model.input
    )
    guide_layer = model.get_layer(guide)
    copies, guides = {}, {}
    for old, new in zip(keras.tree.flatten(model.input), keras.tree.flatten(inputs)):
        if old is guide_layer.output:  # `call` below never gets inputs
            guides["guide"] = new

    def replace(layer):
        if layer.name in swapped:
            return swapped[layer.name]
        # An operation without weights, such as `+`, is no layer.
        if not copy or not isinstance(layer, keras.layers.Layer):
            return layer
        if layer.name not in copies:
            is_model = isinstance(layer, keras.Model)
            copies[layer.name] = (
                keras.models.clone_model(layer)
                if is_model
                else type(layer).from_config(layer.get_config())
            )
        return copies[layer.name]

    def call(layer, *args, **kwargs):
        if layer.name in swapped:
            if "guide" not in guides:
                raise ValueError(
                    f"The guide must come before the layers that it guides. Received: {guide!r} "
                    f"for {layer.name!r}"
                )
            return layer([args[0], resizes[layer.name]([guides["guide"], args[0]])])
        outputs = layer(*args, **kwargs)
        if layer.name == guide_layer.name:
            guides["guide"] = outputs
        return outputs

    new_model = keras.models.clone_model(model, inputs, replace, call)
    for name, layer in {**swapped, **copies}.items():
        layer.set_weights(model.get_layer(name).get_weights())
    return new_model


def _check(model, names, guide):
    if not isinstance(model, keras.Model) or not hasattr(model, "operations"):
        raise ValueError(
            "`model` must be a functional model, or a sequential one that is built. "
            f"Received: {type(model).__name__}"
        )
    layers = {layer.name: layer for layer in model.layers}
    problems = [
        f"{name!r} {reason}" for name in names if (reason := _reason(model, layers.get(name), name))
    ]
    if guide not in layers:
        problems.append(f"the guide {guide!r} is no layer of the model itself")
    elif guide in names:
        problems.append(f"the guide {guide!r} is itself one of the layers to swap")
    elif len(getattr(layers[guide].output, "shape", ())) != 4:
        problems.append(f"the guide {guide!r} has no image as its output")
    if not names:
        problems.append("no layer is named")
    if problems:
        raise ValueError(
            "Every layer to swap must be a plain Conv2D of the model, and the guide a layer before "
            f"them. Received: {'; '.join(problems)}"
        )


def _reason(model, layer, name):
    """Why a layer can't be swapped, or None."""
    if layer is None:
        nested = [
            inner.name
            for inner in model.layers
            if isinstance(inner, keras.Model) and any(deep.name == name for deep in inner.layers)
        ]
        return f"is inside the nested model {nested[0]!r}" if nested else "is no layer of the model"
    if type(layer) is not keras.layers.Conv2D:
        return f"is a {type(layer).__name__}"
    if layer.lora_enabled:
        return "has LoRA enabled"
    if layer.groups != 1:
        return f"has {layer.groups} groups"
    if any(size % 2 == 0 for size in layer.kernel_size):
        return f"has an even kernel size {layer.kernel_size}"
    return None


def _pac_layer(conv):
    config = conv.get_config()
    del config["groups"]
    return PacConv2D(**config)
