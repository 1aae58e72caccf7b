"""Conditional random fields whose mean-field inference is made of pixel-adaptive convolutions."""

import keras
from keras import ops

from keras_pac.layers.mean_field_step import MeanFieldStep
from keras_pac.layers.pairwise_kernel import as_pairwise_kernels
from keras_pac.ops import adapting_kernel, checks
from keras_pac.ops._geometry.cells import average_cells, count_cells
from keras_pac.ops._geometry.layout import adapting_last, image_last, image_to, shape_to

OUTPUTS = ("logits", "softmax", "log_softmax")


@keras.saving.register_keras_serializable("keras_pac")
class PacCRF(keras.layers.Layer):
    """Mean-field inference of a CRF as a few steps of pixel-adaptive convolutions.

    From the label logits `u` of a network (the unary term), with logQ = u at first, each step is

        Q = softmax(logQ)
        logQ = w_u * u - sum_k w_k * message_k(Q)

    where `message_k` is a pixel-adaptive convolution of Q with the k-th pairwise kernel, guided by
    features that tell which pixels belong together (see `PairwiseKernel`). All steps have the same
    weights, and the adapting kernels are computed once for all of them.

    Args:
        kernels: a `PairwiseKernel` or a dict of its arguments, or a list of these, at least one.
        steps: int, number of steps. Defaults to 5.
        output: what is returned: "logits" (default; logQ), "softmax" or "log_softmax" of it.
        unary_weight: number, the initial value of w_u. Defaults to 1.
        fixed_weighting: bool. True: w_u is a constant, and so is the weight of a "potts" kernel
            without `spatial_filter`; False (default): both are trained.
        perturbed_init: bool, start trainable filters with uniform noise of +-0.0005. Defaults to
            True.
        data_format: "channels_last" or "channels_first"; None (default) means Keras's default.
        **kwargs: arguments of `keras.layers.Layer`, like `name` and `dtype`.

    Call arguments:
        inputs: `[unary, features]`, where the features serve all kernels; or
            `[unary, features_1, features_2, ...]`, one tensor for each kernel that takes features;
            or `unary` alone, if no kernel takes features or `adapting_kernels` is given.
        adapting_kernels: K of each kernel that takes features, computed before with
            `keras_pac.ops.adapting_kernel`, instead of features.

    Input shape:
        unary (B, H, W, C), features (B, H, W, G); K (B, h, w, kh * kw) with the size h, w of the
        image in cells of `blur` pixels, which lie centred on it. With channels_first the channels
        (taps) come second.

    Output shape:
        That of unary.

    Returns:
        A tensor.

    Raises:
        ValueError: for arguments or shapes that break a rule above, before any computation.

    Example:
        >>> from keras_pac import PacCRF
        >>> unary, features = keras.random.normal((1, 8, 9, 4)), keras.random.normal((1, 8, 9, 5))
        >>> crf = PacCRF({"kernel_size": 3, "compatibility": "potts"}, steps=3)
        >>> crf([unary, features]).shape
        TensorShape([1, 8, 9, 4])

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.2,
        equations 5 to 9 (arXiv 1904.05373).
    """

    # Whether every step has weights of its own.
    _loose = False

    def __init__(
        self,
        kernels,
        steps=5,
        output="logits",
        unary_weight=1.0,
        fixed_weighting=False,
        perturbed_init=True,
        data_format=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.kernels = as_pairwise_kernels(kernels)
        checks.positive_integer("steps", steps)
        self.steps = steps
        if output not in OUTPUTS:
            raise ValueError(f"`output` must be one of {OUTPUTS}. Received: output={output!r}")
        self.output_kind = output
        checks.number("unary_weight", unary_weight)
        self.unary_weight = unary_weight
        checks.boolean("fixed_weighting", fixed_weighting)
        self.fixed_weighting = fixed_weighting
        checks.boolean("perturbed_init", perturbed_init)
        self.perturbed_init = perturbed_init
        self.data_format = checks.data_format(data_format)
        self._steps = [
            MeanFieldStep(
                self.kernels,
                unary_weight,
                fixed_weighting,
                perturbed_init,
                dtype=self.dtype_policy,
                name=f"step_{i}",
            )
            for i in range(steps if self._loose else 1)
        ]

    def build(self, input_shape):
        unary = self._check_shapes(input_shape)[0]
        self._channels = unary[-1]
        for step in self._steps:
            step.build(unary)

    def call(self, inputs, adapting_kernels=None):
        unary, _, all_adapting = self._prepare(inputs, adapting_kernels)
        q = ops.softmax(unary, axis=-1)
        for i in range(self.steps):
            step = self._steps[i if self._loose else 0]
            if i == 0 or self._loose:
                weighted_unary = step.w_u * unary
            softmax = i + 1 < self.steps or self.output_kind == "softmax"
            q = step(q, weighted_unary, all_adapting, softmax=softmax)
        if self.output_kind == "log_softmax":
            q = ops.log_softmax(q, axis=-1)
        return image_to(q, self.data_format)

    def _prepare(self, inputs, adapting_kernels):
        """What a call computes with, channels last: unary, the features, and K of each kernel."""
        unary, features = self._check_call(inputs, adapting_kernels)
        unary, *features = (image_last(image, self.data_format) for image in (unary, *features))
        if adapting_kernels is None:
            return unary, features, self._adapting_kernels(features)
        given = iter([adapting_last(each, self.data_format) for each in adapting_kernels])
        return unary, features, [next(given) if k.takes_features else None for k in self.kernels]

    def _first_terms(self, inputs, adapting_kernels=None):
        """Unary, the features, and what each kernel adds to the logits in the first step.

        All are channels last. For `keras_pac.visualize`: `call` has no message of its own.
        """
        unary, features, all_adapting = self._prepare(inputs, adapting_kernels)
        return unary, features, self._steps[0].terms(ops.softmax(unary, axis=-1), all_adapting)

    def _adapting_kernels(self, features):
        """K for every pairwise kernel, None where it takes no features; equal ones are shared."""
        shared = len(features) == 1
        features = iter(features * len(self.kernels) if shared else features)
        known, all_adapting = {}, []
        for kernel in self.kernels:
            if not kernel.takes_features:
                all_adapting.append(None)
                continue
            guide = next(features)
            key = (id(guide), kernel.kernel_size, kernel.dilation_rate, kernel.blur)
            if key not in known:
                known[key] = adapting_kernel(
                    average_cells(guide, kernel.blur),
                    kernel.kernel_size,
                    padding="same",
                    dilation_rate=kernel.dilation_rate,
                    data_format="channels_last",
                )
            all_adapting.append(known[key])
        return all_adapting

    def compute_output_shape(self, input_shape):
        return shape_to(self._check_shapes(input_shape)[0], self.data_format)

    def compute_output_spec(self, inputs, adapting_kernels=None):
        unary, _ = self._check_call(inputs, adapting_kernels)
        return keras.KerasTensor(unary.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "kernels": [kernel.get_config() for kernel in self.kernels],
            "steps": self.steps,
            "output": self.output_kind,
            "unary_weight": self.unary_weight,
            "fixed_weighting": self.fixed_weighting,
            "perturbed_init": self.perturbed_init,
            "data_format": self.data_format,
        }

    def _check_call(self, inputs, adapting_kernels):
        """Check all that can be known before computing; return (unary, features)."""
        tensors = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        shapes = self._check_shapes([tuple(tensor.shape) for tensor in tensors])
        for i, tensor in enumerate(tensors):
            checks.check_float("features" if i else "unary", tensor.dtype)
        unary, *features = tensors
        takers = [kernel for kernel in self.kernels if kernel.takes_features]
        if adapting_kernels is None:
            if len(features) not in ({1, len(takers)} if takers else {0, 1}):
                raise ValueError(
                    f"The layer needs features for its {len(takers)} kernels that take some: one "
                    f"tensor for all, or one for each. Received: {len(features)}"
                )
            return unary, features
        is_list = isinstance(adapting_kernels, (list, tuple))
        if features or not is_list or len(adapting_kernels) != len(takers):
            received = len(adapting_kernels) if is_list else f"shape {adapting_kernels.shape}"
            raise ValueError(
                f"`adapting_kernels` must be a list of {len(takers)}, one for each kernel that "
                f"takes features, and no features may be given then. Received: {received} and "
                f"{len(features)} tensors of features"
            )
        for kernel, given in zip(takers, adapting_kernels):
            cells = [None if s is None else count_cells(s, kernel.blur) for s in shapes[0][1:3]]
            sizes = cells, kernel.kernel_size
            checks.adapting_kernel(given, shapes[0][0], *sizes, self.data_format)
        return unary, features

    def _check_shapes(self, input_shape):
        """The checked channels_last shapes of unary and features."""
        shapes = checks.list_of_shapes("a tensor or a list of tensors", input_shape)
        names = ["unary"] + ["features"] * (len(shapes) - 1)
        shapes = [checks.image(name, shape, self.data_format) for name, shape in zip(names, shapes)]
        if shapes[0][-1] == 1:
            raise ValueError(
                "`unary` must have a channel for each label, 2 or more: the softmax over one is "
                "always 1. For a single logit z give [0, z]. "
                f"Received: shape {tuple(shapes[0])} (channels last)"
            )
        if self.built and shapes[0][-1] != self._channels:
            raise ValueError(
                f"`unary` must have the {self._channels} channels that the layer was built for. "
                f"Received: shape {tuple(shapes[0])} (channels last)"
            )
        for shape in shapes[1:]:
            checks.same_size("features", shape, (*shapes[0][:3], None), "`unary`")
        return shapes


@keras.saving.register_keras_serializable("keras_pac")
class PacCRFLoose(PacCRF):
    """`PacCRF` with weights of its own for every step.

        Q = softmax(logQ)
        logQ = w_u[s] * u - sum_k w_k[s] * message_k[s](Q)      in step s

    Args:
        kernels: as for `PacCRF`, like all that follow.
        steps: int, number of steps. Defaults to 5.
        output: "logits" (default), "softmax" or "log_softmax".
        unary_weight: number, the initial value of every w_u. Defaults to 1.
        fixed_weighting: bool, whether w_u and the weights of "potts" kernels are constants.
            Defaults to False.
        perturbed_init: bool, start trainable filters with uniform noise. Defaults to True.
        data_format: "channels_last" or "channels_first"; None (default) means Keras's default.
        **kwargs: arguments of `keras.layers.Layer`, like `name` and `dtype`.

    Call arguments:
        inputs: as for `PacCRF`.
        adapting_kernels: as for `PacCRF`.

    Input shape:
        As for `PacCRF`.

    Output shape:
        That of unary.

    Returns:
        A tensor.

    Raises:
        ValueError: for arguments or shapes that break a rule of `PacCRF`.

    Example:
        >>> from keras_pac import PacCRFLoose, PairwiseKernel
        >>> crf = PacCRFLoose([PairwiseKernel(3, "4d"), PairwiseKernel(5, "2d", blur=2)], steps=2)
        >>> unary, features = keras.random.normal((1, 8, 9, 4)), keras.random.normal((1, 8, 9, 5))
        >>> crf([unary, features]).shape
        TensorShape([1, 8, 9, 4])

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.2
        (arXiv 1904.05373).
    """

    _loose = True
