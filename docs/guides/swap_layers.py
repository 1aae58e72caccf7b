# %% [markdown]
# # Swap layers of a trained network
#
# A `PacConv2D` with a constant guide is a `Conv2D`. So a convolution of a trained
# network can become a pixel-adaptive one that has the same weights and, at first, does
# the same. {py:func}`keras_pac.models.swap_conv2d` makes this swap. This page trains a
# small segmentation network, swaps layers at two places, and shows where that pays and
# where it doesn't.

# %%
import keras
import numpy as np
from skimage import draw

from keras_pac import visualize
from keras_pac.models import swap_conv2d

keras.utils.set_random_seed(0)

# %% [markdown]
# ## A network
#
# Drawn images: reddish ellipses (label 1) and bluish triangles (2) on a grey-green
# ground (0).

# %%
SIZE, LABELS = 48, 3
COLOURS = np.array([[0.4, 0.45, 0.35], [0.65, 0.4, 0.3], [0.35, 0.4, 0.65]])


def make_images(count, seed):
    rng = np.random.default_rng(seed)
    images = np.empty((count, SIZE, SIZE, 3), "float32")
    labels = np.zeros((count, SIZE, SIZE), "int32")
    for image, label in zip(images, labels):
        image[:] = rng.normal(COLOURS[0], 0.07)
        for _ in range(5):
            kind = rng.integers(1, LABELS)
            row, column = rng.uniform(8, SIZE - 8, 2)
            height, width = rng.uniform(4, 11, 2)
            turn = rng.uniform(0, 2 * np.pi)
            if kind == 1:
                shape = draw.ellipse(
                    row, column, height, width, label.shape, rotation=turn / 2
                )
            else:
                angles = turn + 2 * np.pi / 3 * np.arange(3)
                rows = row + 1.4 * height * np.sin(angles)
                columns = column + 1.4 * width * np.cos(angles)
                shape = draw.polygon(rows, columns, label.shape)
            image[shape], label[shape] = rng.normal(COLOURS[kind], 0.07), kind
    return images + rng.normal(scale=0.05, size=images.shape), labels


train, test = make_images(512, seed=1), make_images(128, seed=2)

# %% [markdown]
# The network computes at a quarter of the resolution, enlarges, and smooths with a
# convolution that is called `decoder`.

# %%


def make_network():
    def conv(filters, size, name, **options):
        options = {"padding": "same", "activation": "relu", "name": name, **options}
        return keras.layers.Conv2D(filters, size, **options)

    image = keras.Input((None, None, 3), name="image")
    x = conv(12, 3, "fine")(image)
    x = conv(24, 3, "half", strides=2)(x)
    x = conv(32, 3, "quarter", strides=2)(x)
    x = conv(32, 3, "deep")(x)
    x = conv(16, 1, "narrow", activation=None)(x)
    x = keras.layers.UpSampling2D(4, interpolation="bilinear")(x)
    x = conv(16, 5, "decoder")(x)
    x = conv(LABELS, 1, "logits", activation=None)(x)
    return keras.Model(image, x)


def fit(model, epochs, rate):
    steps = epochs * len(train[0]) // 16
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    keras.utils.set_random_seed(1)  # the same order of images for all
    model.fit(*train, batch_size=16, epochs=epochs, verbose=0)


def mean_iou(model):
    """Mean of the labels' intersection over union on the test images, in per cent."""
    found = model.predict(test[0], verbose=0).argmax(-1)
    both = [((found == k) & (test[1] == k)).sum() for k in range(LABELS)]
    any_ = [((found == k) | (test[1] == k)).sum() for k in range(LABELS)]
    return 100 * np.mean(np.divide(both, any_))


network = make_network()
fit(network, epochs=8, rate=3e-3)
print(f"mean IoU {mean_iou(network):.1f}")

# %% [markdown]
# ## The swap
#
# `swap_conv2d` takes the names of the layers to swap and of the guide: a layer before
# them, or an input. It returns a new model. Without `copy=True` the two models share
# all layers that are not swapped, so training one would change the other.


# %%
def difference(model):
    """The largest difference of the logits from those of the network."""
    logits, expected = (m.predict(test[0], verbose=0) for m in (model, network))
    return np.abs(logits - expected).max()


swapped = swap_conv2d(network, ["decoder"], guide="image", copy=True)
for model in (network, swapped):
    print(type(model.get_layer("decoder")).__name__)
print(f"largest difference of the logits: {difference(swapped):.0e}")

# %% [markdown]
# The guide is multiplied by `scale`, 1e-4 unless you say otherwise. That suits features
# as large as those of a VGG-16, which go into the hundreds. For an image from 0 to 1 it
# keeps K, the adapting kernel, at 1: the swapped layer is a plain convolution, and
# remains one. So here the scale has to be larger:

# %%
for scale in (1e-4, 1.0, 3.0, 10.0):
    swapped = swap_conv2d(network, ["decoder"], guide="image", scale=scale, copy=True)
    print(
        f"scale {scale:<6g}  largest difference {difference(swapped):7.0e}"
        f"  mean IoU {mean_iou(swapped):.1f}"
    )

# %% [markdown]
# With a scale of 10, noise of 0.05 still gives a K near 0.5, and the colours of two
# objects one near 0:

# %%
visualize.kernels(swapped, test[0][:1], image=test[0][0])

# %% [markdown]
# ## Train further
#
# Both networks go on for the same 96 steps.

# %%
plain = keras.models.clone_model(network)
plain.set_weights(network.get_weights())
fit(plain, epochs=3, rate=5e-4)
fit(swapped, epochs=3, rate=5e-4)
print(f"without a swap       {mean_iou(plain):.1f}")
print(f"decoder, by image    {mean_iou(swapped):.1f}")

# %% [markdown]
# Here the swap pays, even before it is trained: the guide tells `decoder` where the
# edges are, which the network had lost on its way to a quarter of the resolution. Now a
# layer inside, guided by early features. These are what `fine` sees in the image:

# %%
fine = keras.Model(network.input, network.get_layer("fine").output)
visualize.features(fine(test[0][:1]), image=test[0][0])

# %%
inside = swap_conv2d(network, ["deep"], guide="fine", scale=1.0, copy=True)
print(f"deep, by fine, at first  {mean_iou(inside):.1f}")
fit(inside, epochs=3, rate=5e-4)
print(f"deep, by fine            {mean_iou(inside):.1f}")

# %% [markdown]
# That gives nothing. The layer works on a grid as coarse as before, and what comes
# after it cannot be sharper.
#
# ## From the start
#
# The swap also makes a network with PAC layers that you train from its first step.

# %%
keras.utils.set_random_seed(0)
from_start = swap_conv2d(make_network(), ["decoder"], guide="image", scale=10.0)
fit(from_start, epochs=8, rate=3e-3)
print(f"decoder, from the start  {mean_iou(from_start):.1f}")

# %% [markdown]
# ## On photographs
#
# Drawn objects have one colour each, so that a guide of colours is as good as it can
# be, and these are single runs. On street scenes (CamVid, {doc}`/results/segmentation`)
# we found:
#
# - Three inner layers of a trained network, swapped and trained further, give nothing:
#   0.05 ± 0.09 points of mean IoU over three seeds. Nothing pulls the guide away from
#   what it is.
# - The same layers as PAC layers from the start give 1.0 points (two seeds).
# - A scale at which K is far from 1 costs a trained network points at first: 10 at a
#   mean K of 0.67 to 0.86.
# - A {py:func}`PAC-CRF <keras_pac.models.with_pac_crf>` behind the trained network gave
#   1.4 points.
#
# So on photographs, begin with a CRF behind a trained network, and use PAC layers where
# the network's own resolution is the limit, or from the start.
