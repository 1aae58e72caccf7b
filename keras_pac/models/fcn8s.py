"""The fully convolutional network FCN-8s for semantic segmentation."""

import keras
from keras import layers

from keras_pac.initializers import BilinearUpsampling
from keras_pac.layers.crop_like import CropLike
from keras_pac.ops import checks

# Number of convolutions and filters in each block of VGG-16, then the filters of fc6 and fc7.
BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
FC_FILTERS = 4096


def FCN8s(  # noqa: N802 - named like the networks of keras.applications
    classes=21,
    padding="original",
    weights=None,
    input_shape=(None, None, 3),
    name="fcn8s",
):
    """FCN-8s: VGG-16 as a fully convolutional network for semantic segmentation.

    The class scores of three depths, upsampled and added:

        s5 = score_fr(fc7(fc6(pool5)))
        s4 = upscore2(s5) + score_pool4(0.01 * pool4)
        s3 = upscore_pool4(s4) + score_pool3(0.0001 * pool3)
        y  = upscore8(s3)

    The layers have the names of the original, `conv1_1` to `conv5_3`, `pool1` to `pool5`, `fc6`,
    `fc7` and those above. The scores start as zero. The transposed convolutions start as bilinear
    upsampling, and the last one is not trained. The factors 0.01 and 0.0001 are those of the
    variant FCN-8s-atonce: the features of a VGG-16 grow towards its input, and without the factors
    the three scores could be trained only one after the other.

    Args:
        classes: int, number of classes. Defaults to 21.
        padding: which zeros there are around the image. "original" (default): 100 pixels on each
            side before `conv1_1`, none before `fc6`; the parts of the scores outside the image are
            cropped, by 5, 9 and 31. "same": as many before every convolution as it needs to keep
            the size. It takes less time and memory; the scores fade within 16 pixels of the
            border, where upsampling interpolates with zeros.
        weights: None (default; random), "imagenet", or the path of a weights file of
            `keras.applications.VGG16` with its top: `fc1` becomes the 7x7 convolution `fc6`, `fc2`
            becomes `fc7`.
        input_shape: (height, width, channels) of the images, None where the size is unknown.
            Defaults to (None, None, 3). `weights` need 3 channels.
        name: name of the model. Defaults to "fcn8s".

    Input shape:
        (B, H, W, channels), of any size from 1x1, channels last whatever Keras's default is. The
        weights of `keras.applications` take what `keras.applications.vgg16.preprocess_input`
        returns.

    Output shape:
        (B, H, W, classes): the logits.

    Returns:
        A functional `keras.Model`, not compiled.

    Raises:
        ValueError: for arguments that break a rule above, before anything is built.

    Example:
        >>> from keras_pac.models import FCN8s, swap_conv2d
        >>> model = FCN8s(classes=11)
        >>> model(keras.ops.zeros((1, 31, 40, 3))).shape
        TensorShape([1, 31, 40, 11])
        >>> pac = swap_conv2d(model, ["conv3_3", "conv4_3", "conv5_3"], guide="conv2_2")

    Reference:
        Long, Shelhamer, Darrell, Fully Convolutional Networks for Semantic Segmentation, CVPR
        2015; FCN-8s-atonce: Shelhamer, Long, Darrell, PAMI 2017 (arXiv 1605.06211).
    """
    _check(classes, padding, weights, input_shape)
    if weights is not None:
        vgg = keras.applications.VGG16(weights=weights)
    original = padding == "original"
    image = layers.Input(input_shape)
    x, pools = image, {}
    if original:
        x = layers.ZeroPadding2D(100, data_format="channels_last", name="pad")(x)
    for block, (count, filters) in enumerate(BLOCKS, start=1):
        for i in range(1, count + 1):
            first = original and block == i == 1
            x = _conv(f"conv{block}_{i}", filters, 3, "valid" if first else "same")(x)
        # "same" rounds half of an odd size up, as the original does.
        x = layers.MaxPooling2D(
            2, padding="same", data_format="channels_last", name=f"pool{block}"
        )(x)
        pools[block] = x
    x = _conv("fc6", FC_FILTERS, 7, "valid" if original else "same")(x)
    x = layers.Dropout(0.5, name="drop6")(x)
    x = _conv("fc7", FC_FILTERS, 1)(x)
    x = layers.Dropout(0.5, name="drop7")(x)
    x = _score("score_fr", classes)(x)

    # Pixel i of upscore2 lies at pixel 16i - 11.5 of the image, as pixel i + 5 of pool4 does; i of
    # upscore_pool4 at 8i - 23.5, as i + 9 of pool3 does; and i of upscore8 at i - 31.
    crops = (5, 9, 31) if original else (0, 0, 0)
    x = _upscore("upscore2", classes, 2, original)(x)
    x = _fuse(x, pools[4], "pool4", 0.01, crops[0])
    x = _upscore("upscore_pool4", classes, 2, original)(x)
    x = _fuse(x, pools[3], "pool3", 0.0001, crops[1])
    x = _upscore("upscore8", classes, 8, original, trainable=False)(x)
    x = CropLike(crops[2], name="score")([x, image])
    model = keras.Model(image, x, name=name)
    if weights is not None:
        _copy_weights(vgg, model)
    return model


def _check(classes, padding, weights, input_shape):
    checks.positive_integer("classes", classes)
    if padding not in ("original", "same"):
        raise ValueError(f'`padding` must be "original" or "same". Received: padding={padding!r}')
    shape = tuple(input_shape) if isinstance(input_shape, (list, tuple)) else ()
    sizes = [size for size in shape[:2] if size is not None]
    if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in (*sizes, shape[-1])):
        raise ValueError(
            "`input_shape` must be (height, width, channels), with None for an unknown height or "
            f"width. Received: input_shape={input_shape!r}"
        )
    if weights is not None and shape[-1] != 3:
        raise ValueError(
            "The weights of a VGG-16 need images of 3 channels. "
            f"Received: weights={weights!r}, input_shape={input_shape!r}"
        )


def _conv(name, filters, kernel_size, padding="same"):
    return layers.Conv2D(
        filters,
        kernel_size,
        padding=padding,
        activation="relu",
        data_format="channels_last",
        name=name,
    )


def _score(name, classes):
    return layers.Conv2D(
        classes, 1, kernel_initializer="zeros", data_format="channels_last", name=name
    )


def _upscore(name, classes, factor, original, trainable=True):
    return layers.Conv2DTranspose(
        classes,
        2 * factor,
        strides=factor,
        padding="valid" if original else "same",
        use_bias=False,
        kernel_initializer=BilinearUpsampling(factor),
        data_format="channels_last",
        trainable=trainable,
        name=name,
    )


def _fuse(x, pool, pool_name, scale, crop):
    """Add the scores of a pooling to those of the deeper layers, at the smaller of both sizes."""
    scores = layers.Rescaling(scale, name=f"scale_{pool_name}")(pool)
    scores = _score(f"score_{pool_name}", x.shape[-1])(scores)
    if crop:
        scores = CropLike(crop, name=f"score_{pool_name}c")([scores, x])
    else:
        x = CropLike(name=f"crop_{pool_name}")([x, scores])
    return layers.Add(name=f"fuse_{pool_name}")([x, scores])


def _copy_weights(vgg, model):
    """Give a VGG-16's weights to the layers up to fc7; its dense layers become convolutions."""
    names = {
        f"conv{b}_{i}": f"block{b}_conv{i}"
        for b, (n, _) in enumerate(BLOCKS, 1)
        for i in range(1, n + 1)
    }
    for name, old_name in {**names, "fc6": "fc1", "fc7": "fc2"}.items():
        layer = model.get_layer(name)
        filter, bias = vgg.get_layer(old_name).get_weights()
        # The dense layers read the pixels row by row, each with its channels.
        layer.set_weights([filter.reshape(layer.kernel.shape), bias])
