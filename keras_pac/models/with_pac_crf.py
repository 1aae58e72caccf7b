"""A CRF behind a segmentation network."""

import keras

from keras_pac.layers import PacCRF, PacCRFLoose, PositionColorFeatures
from keras_pac.layers.log_probabilities import LogProbabilities
from keras_pac.layers.pairwise_kernel import as_pairwise_kernels
from keras_pac.layers.resize_like import ResizeLike
from keras_pac.ops import checks


def with_pac_crf(
    model,
    kernels,
    *,
    color_scale,
    position_scale=None,
    steps=5,
    loose=False,
    from_logits=True,
    **crf_arguments,
):
    """A segmentation model followed by a `PacCRF` that is guided by the image.

        u = model(image), bilinearly at the size of the image
        f_k = [y / position_scale_k, x / position_scale_k, colour / color_scale_k]
        logits = CRF(u, f_1, f_2, ...)

    The scales of each kernel's features are trained with the CRF. `model` stays as it is and is one
    layer of the new one, so `get_layer(model.name).trainable = False` trains the CRF alone.

    Args:
        model: a Keras model with one input, an image, and one output, the logits of its labels
            (or their probabilities, see `from_logits`), of the same or another size.
        kernels: a `PairwiseKernel` or a dict of its arguments, or a list of these.
        color_scale: positive number, or a list with one for each kernel: how far the
            colours of similar pixels differ, in units of the image (10 to 60 for colours up to
            255).
        position_scale: positive number in pixels, or a list with one for each kernel: how far
            similar pixels are apart; None (default) leaves the position out.
        steps: int, steps of the CRF. Defaults to 5.
        loose: bool. Weights of its own for every step: a `PacCRFLoose`. Defaults to False.
        from_logits: bool. False if the model returns probabilities. Defaults to True.
        **crf_arguments: other arguments of `PacCRF`, like `output` ("logits" by default).

    Returns:
        A functional Keras model, not compiled, from the image to the output of the CRF, which has
        the size of the image. Its layer "crf" (or `name`) is the CRF, its layers "features_0",
        "features_1", ... are the `PositionColorFeatures` of the kernels that take features.

    Raises:
        ValueError: if the model does not have one input and one output, both images, or for
            arguments that break a rule of `PacCRF` or `PositionColorFeatures`.

    Example:
        >>> from keras_pac.models import with_pac_crf
        >>> network = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(5, 3)])
        >>> kernel = {"kernel_size": 5, "compatibility": "potts", "dilation_rate": 2}
        >>> model = with_pac_crf(network, kernel, color_scale=30, position_scale=20, steps=3)
        >>> model(keras.ops.ones((1, 20, 30, 3))).shape
        TensorShape([1, 20, 30, 5])

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 4.2
        (arXiv 1904.05373).
    """
    checks.boolean("loose", loose)
    checks.boolean("from_logits", from_logits)
    image_shape = _check_model(model)
    kernels = as_pairwise_kernels(kernels)
    crf_arguments = {"name": "crf", **crf_arguments}
    crf = (PacCRFLoose if loose else PacCRF)(kernels, steps=steps, **crf_arguments)
    colors = checks.one_or_each("color_scale", color_scale, len(kernels))
    positions = checks.one_or_each("position_scale", position_scale, len(kernels), optional=True)
    features = [
        PositionColorFeatures(color, position, crf.data_format, name=f"features_{i}")
        for i, (kernel, color, position) in enumerate(zip(kernels, colors, positions))
        if kernel.takes_features
    ]

    image = keras.Input(batch_shape=image_shape, dtype=model.inputs[0].dtype, name="image")
    (unary,) = keras.tree.flatten(model(image))  # a model of [image] may return [logits]
    if not from_logits:
        unary = LogProbabilities(name="log_probabilities")(unary)
    size = slice(1, 3) if crf.data_format == "channels_last" else slice(2, 4)
    if None in image_shape[size] or image_shape[size] != tuple(unary.shape)[size]:
        unary = ResizeLike(crf.data_format, name="unary")([unary, image])
    logits = crf([unary, *(layer(image) for layer in features)] if features else unary)
    return keras.Model(image, logits, name=f"{model.name}_with_crf")


def _check_model(model):
    """The shape of the image that the model takes, with its batch size."""
    shapes = [
        [tuple(tensor.shape) for tensor in getattr(model, name, None) or []]
        for name in ("inputs", "outputs")
    ]
    if [len(each) for each in shapes] != [1, 1] or any(len(each[0]) != 4 for each in shapes):
        raise ValueError(
            "`model` must be a model with one input and one output, both images (4 dimensions), "
            "and be built. Received: "
            f"{type(model).__name__} with inputs {shapes[0]} and outputs {shapes[1]}"
        )
    return shapes[0][0]
