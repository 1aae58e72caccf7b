# %% [markdown]
# # Sharpen a depth map
#
# `keras_pac.upsample(target, image)` puts a low-resolution map on the grid of a
# picture, 2, 4, 8 or 16 times larger. The map may be depth, disparity, optical flow,
# a heat map, or the scores of a network. No training is needed: the network comes
# with the package. It has seen drawn scenes only.

# %%
import matplotlib.pyplot as plt
import numpy as np
from skimage.data import stereo_motorcycle

import keras_pac
from keras_pac import visualize

photo, _, truth = stereo_motorcycle()
photo, truth = photo[:496, :736], truth[:496, :736]
truth[~np.isfinite(truth)] = np.nan  # where the disparity is unknown
low = truth[1::4, 1::4]  # one sample of each cell of 4 x 4 pixels
low.shape, f"{np.isnan(low).mean():.1%} unknown"

# %%
sharp = keras_pac.upsample(low, photo)
visualize.upsampling(low, photo, sharp, truth)

# %% [markdown]
# The difference of result and bilinear is what the network changed: it moved edges to
# where the photograph has them. Unknown pixels, `NaN` here, were filled from known ones
# next to them that have the same colour. A `valid_mask` says the same for maps that
# have another sign for it, such as 0.
#
# ## Say how the map came about
#
# A number of a low-resolution map is either **one sample** of its cell, as of a laser
# or of the network of another size, or an **average** of it, as of bicubic or area
# reduction. If you know which, say so: then the result is corrected where it, reduced
# in the same way, does not give back the map. It is also the mean of two results: one
# for the scene as it is, one for the scene turned by 180 degrees.
#
# If you don't say it, at ×4, ×8 and ×16 `upsample` guesses: it reduces a first result
# in both ways, and one of them gives back the map better. It does not guess from maps
# with unknown pixels, such as these.

# %%


def reduced(values, factor):
    """The mean of the known pixels of each cell."""
    rows, columns = (size // factor for size in values.shape)
    cells = np.ma.masked_invalid(values).reshape(rows, factor, columns, factor)
    return cells.mean(axis=(1, 3))


def error(result):
    return np.sqrt(np.nanmean((result - truth) ** 2))


maps = {"center": low, "average": reduced(truth, 4)}
for kind, values in maps.items():
    for told in ("any", kind):
        result = keras_pac.upsample(values, photo, low_res=told)
        print(f"{kind:8} told {told!r:10} error {error(result):.2f} pixels")

# %% [markdown]
# On this picture it matters most for averages. {doc}`/results/joint_upsampling` has the
# same for real data.

# %% [markdown]
# ## Other units
#
# A change of unit passes through: the network sees every map in units of its own. So
# metres, millimetres and disparities give the same picture.

# %%
changed = keras_pac.upsample(3 * low + 7, photo)
difference = np.abs((changed - 7) / 3 - sharp).max()
print(f"largest difference: {difference:.0e} of {sharp.max():.0f}")

# %% [markdown]
# Maps with several channels, such as flow or the probabilities of classes, are
# upsampled channel by channel. Here are two: "near" and "far".

# %%
near = (np.nan_to_num(low) > 35).astype("float32")
scores = keras_pac.upsample(np.stack([near, 1 - near], axis=-1), photo)
scores.shape, scores.dtype

# %%
figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained")
axes[0].imshow(near, cmap="gray")
axes[0].set_title("near, 4 times smaller")
axes[1].imshow(scores[..., 0], cmap="gray", vmin=0, vmax=1)
axes[1].set_title("near, upsampled")
for axis in axes:
    axis.axis("off")

# %% [markdown]
# ## Sizes and memory
#
# The picture may have any height and width: the map has those divided by the factor,
# rounded up. Large pictures are computed in tiles of `tile` pixels. Each is computed
# with all pixels around it that the network reads, so the tiles do not show:

# %%
whole = keras_pac.upsample(low, photo, tile=1024)
tiles = keras_pac.upsample(low, photo, tile=256)
print(f"largest difference: {np.abs(whole - tiles).max():.0e} of {whole.max():.0f}")

# %% [markdown]
# ## Other networks
#
# `weights` takes any network of {doc}`keras_pac.models </reference/index>`: one that
# you have trained ({doc}`train_upsampling`), or a filter without weights, such as the
# joint bilateral filter of 2007.

# %%
joint_bilateral = keras_pac.models.JointBilateralUpsample(
    4, kernel_size=7, scale_space=0.5, scale_color=8
)
for name, weights in (("joint bilateral", joint_bilateral), ("ready-made", "scenes")):
    result = keras_pac.upsample(low, photo, "center", weights)
    print(f"{name}: error {error(result):.2f} pixels")

# %% [markdown]
# How large the gain is on real data that the network has not seen is in
# {doc}`/results/joint_upsampling`, and how the network works in the docstring of
# {py:class}`keras_pac.models.LearnedBilateralUpsample`.
