# %% [markdown]
# # A layer in your network
#
# A convolution has the same weights at every pixel. `PacConv2D` multiplies them,
# pixel by pixel, with a kernel K of a **guide**: how alike the guide's features are
# at the two pixels,
#
# $$y_i = b + \sum_{j \in \Omega(i)} K(f_i, f_j)\, W[p_i - p_j]\, x_j, \qquad
# K(f_i, f_j) = e^{-\frac12 |f_i - f_j|^2}.$$
#
# So the layer can stop at the edges of a picture. This guide puts it into a network
# that removes noise from a depth map with the help of a picture, and compares it with
# plain convolutions.
#
# ## Scenes to train on
#
# Discs in front of each other, each with a depth and a colour of its own.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

from keras_pac import PacConv2D, visualize
from keras_pac.ops import adapting_kernel

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
SIZE = 64


def draw_scene():
    """A noisy depth map, the picture of the scene, and the true depth."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    depth, picture = (
        np.ones((SIZE, SIZE, 1)),
        np.full((SIZE, SIZE, 3), random.random(3)),
    )
    for distance in np.sort(random.uniform(0.1, 0.9, 12))[::-1]:
        row, column, radius = *random.integers(0, SIZE, 2), random.integers(4, 16)
        disc = (rows - row) ** 2 + (columns - column) ** 2 < radius**2
        depth[disc], picture[disc] = distance, random.random(3)
    picture = np.clip(picture + random.normal(0, 0.03, picture.shape), 0, 1)
    noisy = depth + random.normal(0, 0.2, depth.shape)
    return [array.astype("float32") for array in (noisy, picture, depth)]


noisy, picture, depth = (
    np.stack(arrays) for arrays in zip(*[draw_scene() for _ in range(200)])
)
figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for axis, image, title in zip(
    axes, (picture, noisy, depth), ("picture", "noisy depth", "depth")
):
    axis.imshow(image[0], vmin=0, vmax=1)
    axis.set_title(title)
    axis.axis("off")

# %% [markdown]
# ## Two networks
#
# Both see the depth and the picture. The first one puts them together as channels. In
# the second one the picture only guides: a layer with a guide is called with `[x,
# guide]`, both of the same height and width. The guide here is the colours, times 8:
# pixels whose colours differ by an eighth are one apart. `normalize_kernel` divides K
# by its sum over the window, so that a pixel with few like it is no darker.


# %%
def plain_network():
    x, guide = (
        keras.Input((None, None, 1), name="x"),
        keras.Input((None, None, 3), name="guide"),
    )
    y = keras.layers.Concatenate()([x, guide])
    for _ in range(3):
        y = keras.layers.Conv2D(16, 5, padding="same", activation="relu")(y)
    return keras.Model([x, guide], keras.layers.Conv2D(1, 5, padding="same")(y))


def adaptive_network():
    x, guide = (
        keras.Input((None, None, 1), name="x"),
        keras.Input((None, None, 3), name="guide"),
    )
    features = keras.layers.Rescaling(8.0)(guide)
    options = {"padding": "same", "normalize_kernel": True}
    y = PacConv2D(16, 5, activation="relu", name="first", **options)([x, features])
    y = PacConv2D(16, 5, activation="relu", name="second", **options)([y, features])
    y = PacConv2D(1, 5, name="third", **options)([y, features])
    return keras.Model([x, guide], y)


def train(network):
    network.compile(keras.optimizers.Adam(3e-3), "mean_squared_error")
    network.fit(
        [noisy[:160], picture[:160]], depth[:160], batch_size=8, epochs=10, verbose=0
    )
    loss = network.evaluate([noisy[160:], picture[160:]], depth[160:], verbose=0)
    print(
        f"{network.count_params()} weights, error on scenes not seen: {loss**0.5:.4f}"
    )


plain, adaptive = plain_network(), adaptive_network()
train(plain)
train(adaptive)

# %%
one = [noisy[160:161], picture[160:161]]
results = [network(one) for network in (plain, adaptive)]
figure, axes = plt.subplots(1, 4, figsize=(12, 3), layout="constrained")
titles = "noisy depth", "plain convolutions", "pixel-adaptive", "truth"
for axis, image, title in zip(axes, (noisy[160:], *results, depth[160:]), titles):
    axis.imshow(image[0], vmin=0, vmax=1)
    axis.set_title(title)
    axis.axis("off")

# %% [markdown]
# ## What the layer looks at
#
# `visualize.kernels` draws K at a few pixels: bright where a pixel of the window
# counts. It takes a layer with its inputs, or a whole model.

# %%
visualize.kernels(adaptive.get_layer("first"), [one[0], 8 * one[1]], image=picture[160])

# %% [markdown]
# ## Without a guide
#
# Called with one tensor, the input guides itself: pixels count where they are like
# the centre. So the layer fits a `Sequential`. `guide_filters=n` makes a guide of n
# trained features from the input, which you want where the input has many channels:
# the distance of many features is large, and K then is 0 but at the centre.

# %%
model = keras.Sequential(
    [
        keras.Input((32, 32, 3)),
        PacConv2D(16, 3, padding="same", activation="relu", guide_filters=8),
        PacConv2D(16, 3, strides=2, padding="same", activation="relu", guide_filters=8),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10),
    ]
)
model.summary()

# %% [markdown]
# ## The scale of the guide decides
#
# Where features differ by much less than 1, K is 1 everywhere and the layer is a
# plain convolution; where they differ by much more, only the centre counts. Features
# that are trained can find their scale. Features that are given, such as colours,
# must be scaled:

# %%
for scale in (0.1, 1, 10, 100):
    K = adapting_kernel(scale * picture[:1], 5, padding="same")
    print(f"colours times {scale:5}: mean of K {float(keras.ops.mean(K)):.2f}")

# %% [markdown]
# ## Save it
#
# A `.keras` file loads where keras_pac is imported. Other formats are in
# {doc}`export`.

# %%
adaptive.save("denoiser.keras")
again = keras.models.load_model("denoiser.keras")
float(np.abs(np.subtract(again(one), adaptive(one))).max())

# %% [markdown]
# All arguments are in the reference: {py:class}`keras_pac.layers.PacConv2D`,
# {py:class}`keras_pac.layers.PacConv2DTranspose`,
# {py:class}`keras_pac.layers.PacPool2D`. What they do to K is shown in
# {doc}`/how_it_works/convolution`.
