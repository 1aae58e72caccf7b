"""What the convolution layers share: the filter, the bias and the activation."""

import keras
from keras import ops

from keras_pac.layers.base_pac_layer import BasePacLayer
from keras_pac.ops import checks


class BasePacConv2D(BasePacLayer):
    """A pixel-adaptive layer with a filter, a bias and an activation."""

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format=None,
        dilation_rate=1,
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        kernel_type="gaussian",
        asymmetric=False,
        alpha=None,
        exponent=None,
        trainable_kernel=True,
        smoothing=None,
        normalize_kernel=False,
        shared_filters=False,
        guide_filters=None,
        **kwargs,
    ):
        super().__init__(
            kernel_size=kernel_size,
            strides=strides,
            padding=padding,
            data_format=data_format,
            dilation_rate=dilation_rate,
            activity_regularizer=activity_regularizer,
            kernel_type=kernel_type,
            asymmetric=asymmetric,
            alpha=alpha,
            exponent=exponent,
            trainable_kernel=trainable_kernel,
            smoothing=smoothing,
            normalize_kernel=normalize_kernel,
            guide_filters=guide_filters,
            channel_wise=False,
            **kwargs,
        )
        checks.positive_integer("filters", filters)
        checks.boolean("use_bias", use_bias)
        checks.boolean("shared_filters", shared_filters)
        self.filters = filters
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.shared_filters = shared_filters

    def _filter_channels(self, channels):
        """The last two sizes of a filter that is not shared."""
        raise NotImplementedError

    def _check_channels(self, channels, guide_channels):
        if self.shared_filters and self.filters != channels:
            raise ValueError(
                "With `shared_filters` every channel is filtered by itself, so `filters` must be "
                f"the number of input channels. Received: filters={self.filters} for an input of "
                f"{channels} channels"
            )

    def _output_channels(self, channels):
        return self.filters

    def _build_filter(self, channels):
        pair = (1, 1) if self.shared_filters else self._filter_channels(channels)
        self.kernel = self.add_weight(
            shape=(*self.kernel_size, *pair),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.filters,),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                name="bias",
            )

    def _filter(self):
        return ops.convert_to_tensor(self.kernel)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": keras.regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "bias_constraint": keras.constraints.serialize(self.bias_constraint),
            "shared_filters": self.shared_filters,
        }
