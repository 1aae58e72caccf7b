"""Makes the public functions usable in functional Keras models."""

import functools

import keras

_functions = {}


def accepts_keras_tensors(function):
    """Record calls with `keras.KerasTensor` arguments as a node of a functional model."""
    _functions[function.__name__] = function

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        if any(isinstance(value, keras.KerasTensor) for value in (*args, *kwargs.values())):
            return PacOperation(function.__name__)(*args, **kwargs)
        return function(*args, **kwargs)

    return wrapper


@keras.saving.register_keras_serializable("keras_pac")
class PacOperation(keras.Operation):
    """A call of one of the functions of `keras_pac.ops` in a functional model."""

    def __init__(self, function, name=None):
        super().__init__(name=name)
        self.function = function

    def call(self, *args, **kwargs):
        return _functions[self.function](*args, **kwargs)

    def get_config(self):
        return {"function": self.function, "name": self.name}
