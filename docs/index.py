# %% [markdown]
# # keras_pac
#
# Pixel-adaptive convolution layers for Keras 3, on TensorFlow, JAX and PyTorch.
#
# A convolution applies the same filter at every pixel. A **pixel-adaptive
# convolution** (PAC) multiplies that filter, pixel by pixel, with a kernel computed
# from the features of a *guide*:
#
# $$y_i = b + \sum_{j \in \Omega(i)} K(f_i, f_j)\, W[p_i - p_j]\, x_j$$
#
# So the filter can stop at the edges of a picture: a low-resolution depth map is
# upsampled sharply, a CRF becomes a convolution, and a layer of a network adapts to
# its input.

# %% tags=["remove-input"]
import keras
import matplotlib.pyplot as plt
import numpy as np
from skimage.data import stereo_motorcycle

import keras_pac

ROWS, COLUMNS = slice(80, 272), slice(296, 552)  # of the photograph
photo, _, disparity = stereo_motorcycle()
photo, disparity = photo[ROWS, COLUMNS], disparity[ROWS, COLUMNS]
low = disparity[1::4, 1::4]
sharp = keras_pac.upsample(low, photo, "center")

figure, axes = plt.subplots(1, 3, figsize=(10, 2.7), layout="constrained")
axes[0].imshow(photo)
HALF = 20
for (row, column), color in {
    (57, 60): "tab:cyan",
    (125, 181): "tab:orange",
    (112, 85): "white",
}.items():
    window = photo[row - HALF : row + HALF + 1, column - HALF : column + HALF + 1]
    size = 2 * HALF + 1
    K = keras_pac.ops.adapting_kernel(window[None] / 255 * 5, size)
    edges = np.array([column, column, row, row]) + HALF * np.array([-1, 1, 1, -1])
    edges = edges + 0.5 * np.array([-1, 1, 1, -1])
    K = keras.ops.convert_to_numpy(K).reshape(size, size)
    axes[0].imshow(K, extent=edges, vmin=0, vmax=1)
    axes[0].plot(*edges[[[0, 1, 1, 0, 0], [2, 2, 3, 3, 2]]], color=color)
axes[0].set(xlim=(-0.5, photo.shape[1] - 0.5), ylim=(photo.shape[0] - 0.5, -0.5))
axes[1].imshow(low, cmap="magma")
axes[2].imshow(sharp, cmap="magma")
titles = "K at three pixels of a photograph", "disparity, 4 times smaller", "upsampled"
for axis, title in zip(axes, titles):
    axis.set_title(title)
    axis.axis("off")

# %% [markdown]
# *Left: where K is large (yellow), pixels count. Right: a disparity map made 4 times
# larger by `keras_pac.upsample`, which never saw this scene (Middlebury 2014, from
# scikit-image).*
#
# - **New here?** {doc}`getting_started` leads from the installation to a picture in
#   five minutes. {doc}`installation` has the details and what is tested.
# - **Something to do?** The {doc}`guides/index` are scripts that run, one for each
#   task.
# - **How does it work?** {doc}`how_it_works/index`: the mathematics with pictures,
#   what it contains, what computes it.
# - **Is it good, is it fast?** {doc}`results/index`: all tables, with the commands
#   that make them.
# - **Coming from the authors' PyTorch code?** {doc}`migrating` has every name, old
#   and new.
# - **What was that argument?** {doc}`reference/index`.
#
# The method is that of H. Su, V. Jampani, D. Sun, O. Gallo, E. Learned-Miller and J.
# Kautz, *Pixel-Adaptive Convolutional Neural Networks*, CVPR 2019 ([arXiv
# 1904.05373](https://arxiv.org/abs/1904.05373)). This is an independent
# implementation from the paper's mathematics, under the Apache-2.0 licence.
#
# ```{toctree}
# :hidden:
#
# getting_started
# installation
# guides/index
# how_it_works/index
# results/index
# migrating
# reference/index
# programs
# extending
# contributing
# changelog
# ```
