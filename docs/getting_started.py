# %% [markdown]
# # Getting started
#
# Five minutes, from the installation to a picture.
#
# ## Install
#
# You need Python 3.10 or newer. In a clone of the repository:
#
# ```bash
# pip install .
# python -m keras_pac.build
# pip install matplotlib scikit-image
# ```
#
# The first line installs keras_pac with TensorFlow. The second one builds the fast
# code into your cache folder: it takes one to three minutes and needs a C++ compiler.
# Without it everything works, too, but slower. The third one is for the pictures on
# this page. With JAX or PyTorch you need no TensorFlow: see {doc}`/installation`.
#
# ```bash
# python -m keras_pac.info
# ```
#
# says what is installed, which implementation runs, and why.
#
# This page and the guides are written for a notebook (`pip install jupyter`), which
# shows the pictures. In a script, end with `plt.show()`; figures of
# `keras_pac.visualize` are saved with `figure.savefig("name.png")`.
#
# ## Make a depth map sharp
#
# A sensor or a network often gives a depth map that is much smaller than the
# photograph of the same scene. Here is one, made 8 times smaller than it was: the
# disparity of a motorcycle (Middlebury 2014, from scikit-image).

# %%
import matplotlib.pyplot as plt
import numpy as np
from skimage.data import stereo_motorcycle

import keras_pac

photo, _, disparity = stereo_motorcycle()
photo, disparity = photo[:496, :736], disparity[:496, :736]
low = disparity[
    3::8, 3::8
]  # one sample of each cell of 8 x 8 pixels; infinite where unknown
photo.shape, low.shape

# %% [markdown]
# One call puts it back on the grid of the photograph. It takes arrays of any unit and
# fills what is unknown.

# %%
sharp = keras_pac.upsample(low, photo, low_res="center")

figure, axes = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained")
for axis, picture, title in zip(
    axes,
    (photo, low, sharp),
    ("photograph", "disparity, 8 times smaller", "keras_pac.upsample"),
):
    axis.imshow(picture, cmap=None if picture is photo else "magma")
    axis.set_title(title)
    axis.axis("off")

# %% [markdown]
# The truth is known here, so the error can be measured, beside that of bilinear
# interpolation:

# %%
import keras

is_known = np.isfinite(low)
pair = np.stack([np.where(is_known, low, 0), is_known], axis=-1)
total, weight = np.moveaxis(
    np.array(keras.ops.image.resize(pair, disparity.shape)), -1, 0
)
bilinear = total / np.maximum(weight, 1e-6)  # of the known samples

known = np.isfinite(disparity) & (weight > 0)
for name, result in (("bilinear", bilinear), ("upsample", sharp)):
    error = np.sqrt(np.mean((result[known] - disparity[known]) ** 2))
    print(f"{name}: root mean square error {error:.2f} pixels")

# %% [markdown]
# ## Put a layer into a network
#
# `PacConv2D` takes the arguments of `keras.layers.Conv2D`. Called with one tensor,
# the input guides itself; `guide_filters` makes a trainable guide from it.

# %%
from keras_pac import PacConv2D

model = keras.Sequential(
    [
        keras.Input((32, 32, 3)),
        PacConv2D(16, 3, strides=2, padding="same", activation="relu", guide_filters=8),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy")
images, labels = np.random.rand(64, 32, 32, 3), np.random.randint(0, 10, 64)
history = model.fit(images, labels, verbose=2)

# %% [markdown]
# ## Where to go next
#
# - {doc}`/guides/upsample`: other units, unknown pixels, large images.
# - {doc}`/guides/layer`: what a guide is, and what the layer looks at.
# - {doc}`/guides/crf`: a CRF behind a segmentation network.
# - {doc}`/how_it_works/index`: the mathematics, with pictures.
# - {doc}`/reference/index`: every name.
