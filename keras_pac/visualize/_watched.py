"""What layers are called with, also those deep inside a model."""

import keras


def layers_in(value, kinds, names):
    """The layers of some kinds: `value` itself, or those of a model and of the models in it."""
    if isinstance(value, kinds):
        return [value]
    found = _inside(value, kinds) if isinstance(value, keras.Model) else []
    found = list(dict.fromkeys(found))  # two models may share a layer
    if not found:
        raise ValueError(
            f"The layer must be one of {names}, or a model that contains one, not inside a layer "
            f"of another kind. Received: {type(value).__name__}"
        )
    return found


def _inside(model, kinds):
    layers = []
    for layer in model.layers:
        if isinstance(layer, kinds):
            layers.append(layer)
        elif isinstance(layer, keras.Model):
            layers.extend(_inside(layer, kinds))
    return layers


def first_image(inputs):
    """The first image of a batch: every tensor of `inputs` with a batch of one."""
    for tensor in keras.tree.flatten(inputs):
        shape = getattr(tensor, "shape", None)
        if not shape or shape[0] == 0:
            received = type(tensor).__name__ if shape is None else f"shape {tuple(shape)}"
            raise ValueError(
                "`inputs` must be arrays or tensors (batch, ...) with an image at least. "
                f"Received: {received}"
            )
    return keras.tree.map_structure(lambda tensor: tensor[:1], inputs)


def as_array(tensor):
    """The first image of a tensor, in float32: NumPy knows no bfloat16."""
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor[0], "float32"))


def watch(layers, method, model, inputs):
    """Call the model; for every call of the layers (the layer, `layer.method` of it, its result).

    A graph of layers would not tell that of a model that is written as a class, nor which tensor is
    which argument. Here the method gets the arguments as `call` does, in the types of the layer.
    """
    if isinstance(model, keras.Model) and not model.built:
        model(inputs)  # else Keras would trace it to build it, and the calls of the trace be seen
    seen = []
    for layer in layers:
        layer.call = _watched(layer, method, seen)
    try:
        model(inputs)
    finally:
        for layer in layers:
            del layer.call  # that of the class again
    if not seen:
        raise ValueError(
            "The model must call the layers that it contains. Received: a model that calls none of "
            f"{[layer.name for layer in layers]}"
        )
    return seen


def _watched(layer, method, seen):
    call = layer.call

    def watched_call(*args, **kwargs):
        explained = getattr(layer, method)(*args, **kwargs)
        result = call(*args, **kwargs)
        seen.append((layer, explained, result))
        return result

    return watched_call
