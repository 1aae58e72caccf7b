"""Features of a guide that compares positions and colours."""

from keras import ops

from keras_pac.ops import checks
from keras_pac.ops.symbolic import accepts_keras_tensors


@accepts_keras_tensors
def position_color_features(image, position_scale=None, color_scale=None):
    """Put each pixel's scaled position in front of its scaled colour.

    `[y / position_scale, x / position_scale, colour / color_scale]`: the gaussian adapting
    kernel of these features is that of a bilateral filter with these standard deviations.

    Args:
        image: (B, H, W, C) of floating-point type, channels_last.
        position_scale: number or scalar tensor, in pixels; None leaves the position out.
        color_scale: number or scalar tensor, in units of the image; None leaves the colour out.

    Returns:
        (B, H, W, G) of the image's type, G = 2 for the position plus C for the colour.

    Raises:
        ValueError: if both scales are None, a scale is not positive, or `image` has another rank
            or type.

    Example:
        >>> image = keras.ops.ones((1, 4, 6, 3))
        >>> features = keras_pac.ops.position_color_features(image, 2.0, 0.5)
        >>> [round(float(value), 2) for value in features[0, 3, 1]]
        [1.5, 0.5, 2.0, 2.0, 2.0]

    Reference:
        Su et al., Pixel-Adaptive Convolutional Neural Networks, CVPR 2019, section 5
        (arXiv 1904.05373).
    """
    image = checks.float_tensor("image", image)
    checks.rank("image", image.shape, 4)
    scales = {"position_scale": position_scale, "color_scale": color_scale}
    if all(scale is None for scale in scales.values()):
        raise ValueError(f"At least one of the scales must be given. Received: {scales}")
    for name, scale in scales.items():
        checks.positive_if_known(name, scale)
    batch, height, width, _ = ops.shape(image)
    features = []
    if position_scale is not None:
        rows = ops.cast(ops.arange(height), image.dtype)[None, :, None, None]
        columns = ops.cast(ops.arange(width), image.dtype)[None, None, :, None]
        for position in (rows, columns):
            position = position / ops.convert_to_tensor(position_scale, image.dtype)
            features.append(ops.broadcast_to(position, (batch, height, width, 1)))
    if color_scale is not None:
        features.append(image / ops.convert_to_tensor(color_scale, image.dtype))
    return ops.concatenate(features, axis=-1)
