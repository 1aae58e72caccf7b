"""What all pixel-adaptive layers share: the guide and its adapting kernel."""

import keras
import numpy as np
from keras import ops

from keras_pac.layers.smoothing import Smoothing
from keras_pac.ops import checks
from keras_pac.ops._geometry.images import crop
from keras_pac.ops._geometry.layout import (
    adapting_last,
    image_last,
    image_to,
    shape_last,
    shape_to,
    with_channels,
)
from keras_pac.ops._geometry.resize import enlarge_bilinear
from keras_pac.ops._geometry.window import convolution_window
from keras_pac.ops._implementations import avoids_xla, current
from keras_pac.ops._implementations.kernel_form import KernelForm


class BasePacLayer(keras.layers.Layer):
    """A windowed sum whose weights are multiplied with an adapting kernel.

    Subclasses may have another window (`_window`), a filter (`_filter`), a bias and an activation.
    """

    # Whether the guide has the size of the output.
    _transposed = False
    bias = None
    activation = None
    # Weights of the adapting kernel, where the layer has them.
    alpha_weight = None
    exponent_weight = None
    smoothing_weight = None

    def __init__(
        self,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        kernel_type="gaussian",
        asymmetric=False,
        alpha=None,
        exponent=None,
        trainable_kernel=True,
        smoothing=None,
        normalize_kernel=False,
        channel_wise=False,
        guide_filters=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.kernel_size = checks.kernel_size(kernel_size)
        self.strides = checks.pair("strides", strides)
        self.padding = checks.padding(padding)
        self.data_format = checks.data_format(data_format)
        self.dilation_rate = checks.pair("dilation_rate", dilation_rate)
        checks.adapting_kernel_options(kernel_type, alpha, exponent)
        checks.boolean("asymmetric", asymmetric)
        checks.boolean("trainable_kernel", trainable_kernel)
        checks.boolean("normalize_kernel", normalize_kernel)
        checks.boolean("channel_wise", channel_wise)
        self.kernel_type = kernel_type
        self.asymmetric = asymmetric
        self.alpha = alpha
        self.exponent = exponent
        self.trainable_kernel = trainable_kernel
        self._smoothing = Smoothing.of(smoothing)
        self.smoothing = None if self._smoothing is None else self._smoothing.argument
        self.normalize_kernel = normalize_kernel
        self.guide_filters = guide_filters
        self.channel_wise = channel_wise
        self.guide_embedding = None
        if guide_filters is not None:
            checks.positive_integer("guide_filters", guide_filters)
            # Channels last in any layout: TensorFlow's convolution on a CPU has no other.
            self.guide_embedding = keras.layers.Conv2D(
                guide_filters,
                1,
                use_bias=False,
                data_format="channels_last",
                dtype=self.dtype_policy,
                name="guide_embedding",
            )

    @property
    def supports_jit(self):
        """False where Keras must not turn XLA on by itself."""
        return self._supports_jit and not avoids_xla()

    @supports_jit.setter
    def supports_jit(self, value):
        self._supports_jit = value

    def _window(self, size):
        """The window for an input of `size` (height, width)."""
        return convolution_window(
            size, self.kernel_size, self.strides, self.padding, self.dilation_rate
        )

    def _filter(self):
        """The filter of the windowed sum, or None for a filter of ones."""
        return None

    def _build_filter(self, channels):
        """Make the filter and the bias."""

    def _output_channels(self, channels):
        return channels

    def _check_channels(self, channels, guide_channels):
        """Rules on the channels of inputs and guide."""

    def build(self, input_shape):
        x_shape, guide_shape = self._check_shapes(input_shape)
        self._channels = x_shape[-1]
        self._build_filter(x_shape[-1])
        if self.guide_embedding is not None:
            self.guide_embedding.build(x_shape)
        # Without autocast, since K is computed in float32 at least under any policy.
        options = {"autocast": False, "dtype": self.variable_dtype}
        if self.kernel_type == "inverse":
            for name in ("alpha", "exponent"):
                weight = self.add_weight(
                    shape=(guide_shape[-1],) if self.channel_wise else (),
                    # Of a Python float, TensorFlow would keep the digits of float32.
                    initializer=keras.initializers.Constant(np.float64(getattr(self, name))),
                    trainable=self.trainable_kernel,
                    name=name,
                    **options,
                )
                setattr(self, f"{name}_weight", weight)
        if self._smoothing is not None and self._smoothing.kind == "learned":
            size = self._smoothing.size
            self.smoothing_weight = self.add_weight(
                shape=(size, size),
                initializer=keras.initializers.Constant(np.float64(1 / size**2)),
                name="smoothing",
                **options,
            )

    def call(self, inputs, adapting_kernel=None, valid_mask=None):
        x, guide, adapting, mask, window = self._prepare(inputs, adapting_kernel, valid_mask)
        if adapting is not None:
            y = current().windowed_sum(x, adapting, self._filter(), window, self.bias)
        else:
            y, output_mask = current().guided_windowed_sum(
                x,
                guide,
                self._filter(),
                window,
                self._kernel_form(),
                self.bias,
                mask,
            )
        y = y if self.activation is None else self.activation(y)
        y = image_to(y, self.data_format)
        if mask is None:
            return y
        return y, image_to(ops.cast(output_mask, y.dtype), self.data_format)

    def _prepare(self, inputs, adapting_kernel, valid_mask):
        """What a call computes with, channels last: x, guide or None, given K or None, mask or
        None, and the window."""
        x, guide = self._check_call(inputs, adapting_kernel, valid_mask)
        if valid_mask is not None:
            # A masked pixel may be NaN or infinite, and 0 * NaN is NaN.
            x = ops.where(valid_mask, x, 0)
            valid_mask = image_last(ops.convert_to_tensor(valid_mask), self.data_format)
        x = image_last(x, self.data_format)
        window = self._window(ops.shape(x)[1:3])
        if adapting_kernel is not None:
            adapting = adapting_last(adapting_kernel, self.data_format)
            return x, None, with_channels(adapting, self.channel_wise), valid_mask, window
        own = guide is None
        guide = self._own_guide(x, window) if own else image_last(guide, self.data_format)
        return x, guide, None, valid_mask, window

    def _adapting_kernel(self, inputs, adapting_kernel=None, valid_mask=None):
        """K (B, OH, OW, kh * kw, 1 or G) of a call, with its x, guide (or None) and window.

        For `keras_pac.visualize`: `call` need not store K.
        """
        x, guide, adapting, mask, window = self._prepare(inputs, adapting_kernel, valid_mask)
        if adapting is None:
            adapting, _ = current().adapting_kernel(guide, window, self._kernel_form(), mask)
        return adapting, x, guide, window

    def _own_guide(self, x, window):
        """The guide made from x itself; both are channels last."""
        guide = x if self.guide_embedding is None else self.guide_embedding(x)
        if not self._transposed:
            return guide
        guide = enlarge_bilinear(guide, self.strides)
        return crop(guide, *((0, size) for size in window.output_size))

    def _kernel_form(self):
        smoothing = self.smoothing_weight
        if smoothing is None and self._smoothing is not None:
            smoothing = self._smoothing.filter()
        return KernelForm(
            kind=self.kernel_type,
            alpha=self.alpha_weight,
            exponent=self.exponent_weight,
            asymmetric=self.asymmetric,
            smoothing=smoothing,
            channel_wise=self.channel_wise,
            normalize=self.normalize_kernel,
        )

    def compute_output_shape(self, input_shape):
        (batch, *size, channels), _ = self._check_shapes(input_shape)
        shape = (batch, *self._output_size(size), self._output_channels(channels))
        return shape_to(shape, self.data_format)

    def compute_output_spec(self, inputs, adapting_kernel=None, valid_mask=None):
        self._check_call(inputs, adapting_kernel, valid_mask)
        shape = self.compute_output_shape(_shapes(inputs))
        y = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if valid_mask is None:
            return y
        mask_shape = shape_to((*shape_last(shape, self.data_format)[:3], 1), self.data_format)
        return y, keras.KerasTensor(mask_shape, dtype=self.compute_dtype)

    def get_config(self):
        config = super().get_config()
        for name in (
            "kernel_size",
            "strides",
            "padding",
            "data_format",
            "dilation_rate",
            "kernel_type",
            "asymmetric",
            "alpha",
            "exponent",
            "trainable_kernel",
            "smoothing",
            "normalize_kernel",
            "guide_filters",
        ):
            config[name] = getattr(self, name)
        return config

    def _check_call(self, inputs, adapting_kernel, valid_mask):
        """Check all that can be known before computing; return (x, guide or None)."""
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        (batch, *size, channels), _ = self._check_shapes(_shapes(inputs))
        for name, tensor in zip(("inputs", "guide"), tensors):
            checks.check_float(name, tensor.dtype)
        given = {"guide": len(tensors) == 2, "adapting_kernel": adapting_kernel is not None}
        given["guide_filters"] = self.guide_filters is not None and not given["adapting_kernel"]
        if sum(given.values()) > 1:
            raise ValueError(
                "A guide must not be given with `adapting_kernel`, or to a layer with "
                f"`guide_filters`. Received: {[k for k, v in given.items() if v]}"
            )
        if adapting_kernel is not None:
            if valid_mask is not None:
                raise ValueError(
                    "A given `adapting_kernel` already contains the mask: give the mask to "
                    "`keras_pac.ops.adapting_kernel`. Received: adapting_kernel and valid_mask"
                )
            sizes = self._output_size(size), self.kernel_size
            channels = channels if self.channel_wise else None
            checks.adapting_kernel(adapting_kernel, batch, *sizes, self.data_format, channels)
        if valid_mask is not None:
            checks.valid_mask(valid_mask, (batch, *size), self.data_format)
        return tensors[0], tensors[1] if given["guide"] else None

    def _check_shapes(self, input_shape):
        """The checked channels_last shapes of inputs and guide."""
        shapes = checks.list_of_shapes("`x` or `[x, guide]`", input_shape)
        if not 1 <= len(shapes) <= 2:
            raise ValueError(
                f"The layer is called with `x` or `[x, guide]`. Received: {len(shapes)} tensors"
            )
        shapes = [
            checks.image(name, shape, self.data_format)
            for name, shape in zip(("inputs", "guide"), shapes)
        ]
        batch, *size, channels = shapes[0]
        if self.built and self.weights and channels != self._channels:
            raise ValueError(
                f"The inputs must have the {self._channels} channels that the layer was built "
                f"for. Received: shape {tuple(shapes[0])} (channels last)"
            )
        output_size = self._output_size(size)
        checks.output_size(output_size, size)
        guide_size = output_size if self._transposed else size
        if len(shapes) == 1:
            shapes.append((batch, *guide_size, self.guide_filters or channels))
        checks.same_size("guide", shapes[1], (batch, *guide_size, None), "the inputs")
        self._check_channels(channels, shapes[1][-1])
        return shapes

    def _output_size(self, size):
        """(OH, OW), None where the size of the input is not known."""
        known = self._window([1 if s is None else s for s in size]).output_size
        return tuple(None if s is None else o for s, o in zip(size, known))


def _shapes(inputs):
    return keras.tree.map_structure(lambda tensor: tuple(tensor.shape), inputs)
