# %% [markdown]
# # Pixel-adaptive convolution
#
# What the layers compute: the formula, the argument that chooses each part of it, and
# a picture or a number for each.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle
from skimage.data import astronaut
from skimage.transform import resize

import keras_pac
from keras_pac import PacConv2D, PacConv2DTranspose, PacPool2D
from keras_pac.ops import adapting_kernel, position_color_features

keras.utils.set_random_seed(0)
photo = resize(
    astronaut()[:320, 80:400] / 255.0, (160, 160), anti_aliasing=True
).astype("float32")
x = photo[None]  # (batch, rows, columns, channels)

# %% [markdown]
# ## The window of a plain convolution
#
# For output pixel $i$ a convolution visits the pixels $j$ of a window around it. Each
# has an offset $p_j - p_i$, a *tap* $t$, and the filter has a matrix of weights for
# it:
#
# $$y_i = b + \sum_t W_t\, x_{i + t}$$
#
# The $k_h \cdot k_w$ taps are numbered row by row. The filter is the same at every
# pixel.


# %% tags=["hide-input"]
def draw_grid(axis, size, title):
    axis.set(
        xlim=(-0.5, size - 0.5), ylim=(size - 0.5, -0.5), aspect="equal", title=title
    )
    axis.set_xticks(np.arange(size + 1) - 0.5, labels=[])
    axis.set_yticks(np.arange(size + 1) - 0.5, labels=[])
    axis.tick_params(length=0)
    axis.grid(color="0.85")


def fill(axis, row, column, color):
    axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, color=color))


figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
figure.suptitle("blue: the taps of one output; circles: the centres of all outputs")
settings = [(1, 1, "kernel_size=3"), (2, 1, "strides=2"), (1, 2, "dilation_rate=2")]
for axis, (stride, dilation, title) in zip(axes, settings):
    draw_grid(axis, 7, title)
    for tap in range(9):
        row, column = 3 + dilation * (tap // 3 - 1), 3 + dilation * (tap % 3 - 1)
        fill(axis, row, column, "tab:blue")
        axis.text(column, row, tap, ha="center", va="center", color="white", fontsize=9)
    centers = np.meshgrid(
        np.arange(stride - 1, 7, stride), np.arange(stride - 1, 7, stride)
    )
    axis.plot(*centers, "o", fillstyle="none", color="tab:orange", markersize=14)

# %% [markdown]
# ## The guide, and K
#
# A pixel-adaptive convolution takes a second image, the *guide*, which has features
# $f_i$ for every pixel: colours, positions, or what a network has computed. Each
# weight is multiplied by how alike the features of the two pixels are:
#
# $$y_i = b + \sum_t K(f_i, f_{i+t})\, W_t\, x_{i + t}$$
#
# $K$, the *adapting kernel*, has one number for each output pixel and tap. Neither
# the channels of $x$ nor the filters have one of their own. The default is
#
# $$K(f_i, f_j) = \exp\left(-\tfrac{1}{2}\, |f_i - f_j|^2\right),$$
#
# `kernel_type="gaussian"`. It is 1 at the centre, and between 0 and 1 elsewhere.
# {py:func}`keras_pac.ops.adapting_kernel` returns it:

# %%
size = 21
guide = position_color_features(x, color_scale=0.15)  # the colours, divided by 0.15
K = adapting_kernel(guide, size, padding="same")
print(tuple(K.shape), "= (batch, rows, columns, taps)")

# %% [markdown]
# {py:func}`keras_pac.visualize.kernels` draws the $K$ of a layer: for some pixels the
# window in the guide, and above it $K$.

# %%
pixels = {"hair": (40, 62), "cheek": (62, 72), "edge": (75, 92), "suit": (135, 50)}
layer = PacConv2D(8, size, padding="same")
keras_pac.visualize.kernels(layer, [x, guide], list(pixels.values()), image=photo)

# %% [markdown]
# At an edge, $K$ keeps the pixels on its own side: the filter stops there.
#
# ## How much the guide counts
#
# The gaussian kernel has no parameter for its width: the scale of the features is the
# width. Times 0 they are constant, and $K$ is 1 (the plain convolution); the larger
# they are, the fewer pixels count, until the window is a single pixel. A network that
# computes the guide learns this scale.

# %%
scales = (0, 1, 3, 10, 30, 1000)
row, column = pixels["edge"]
figure, axes = plt.subplots(1, len(scales), figsize=(9, 1.9), layout="constrained")
for axis, scale in zip(axes, scales):
    K = adapting_kernel(scale * x, size, padding="same")
    axis.imshow(
        np.reshape(K[0, row, column], (size, size)), cmap="gray", vmin=0, vmax=1
    )
    axis.set(xticks=[], yticks=[], title=f"{scale} · colour")
    print(f"scale {scale:4}: mean of K {np.mean(K):.4f}")
print(f"one tap of {size * size}: {1 / size**2:.4f}")

# %% [markdown]
# What counts beside the pixel itself at the largest scale are pixels of almost the
# same colour, as in the black parts of the picture.
#
# ## The inverse kernel
#
# $$K(f_i, f_j) = \alpha + \left(|f_i - f_j|^2 + 10^{-4}\right)^{\lambda / 2}$$
#
# `kernel_type="inverse", alpha=α, exponent=λ`: pixels that *differ* count more.
# $\alpha$ and $\lambda$ are trained, unless `trainable_kernel=False`. With
# `asymmetric=True`, in either kernel, $f_j - f_i$ becomes $\max(f_j - f_i, 0)$: only
# larger features make a difference.

# %%
difference = np.linspace(-3, 3, 241)
# Two pixels side by side, one with the feature 0; the right tap of the left pixel.
pairs = np.stack([np.zeros_like(difference), difference], axis=1)[:, None, :, None]
forms = {
    "gaussian": {},
    "gaussian, asymmetric": {"asymmetric": True},
    "inverse, α=0.1, λ=1": {"kind": "inverse", "alpha": 0.1, "exponent": 1.0},
    "inverse, α=0.1, λ=0.3": {"kind": "inverse", "alpha": 0.1, "exponent": 0.3},
}
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.set(xlabel="$f_j - f_i$ (one feature)", ylabel="$K$")
for name, options in forms.items():
    K = adapting_kernel(pairs, (1, 3), padding="same", **options)
    axis.plot(difference, K[:, 0, 0, 2], label=name)
    axis.legend(loc="upper center")
# %% [markdown]
# ## The centre, smoothed
#
# With `smoothing`, $f_i$ is replaced by the guide filtered at $i$, and $f_j$ is not.
# `"gaussian"` is a 3×3 binomial window, `("average", n)` a mean, `("learned", n)` a
# trained filter that starts as the mean. A pixel is then compared with what is usual
# around it. $K$ at the centre is no longer 1.

# %%
noisy = x + np.random.default_rng(0).normal(0, 0.1, x.shape).astype("float32")
mean = np.full((5, 5), 1 / 25, "float32")
for name, options in {"none": {}, "average, 5": {"smoothing": mean}}.items():
    K = adapting_kernel(noisy / 0.15, 7, **options)
    print(f"noisy guide, smoothing {name}: mean of K {np.mean(K):.3f}")

# %% [markdown]
# ## Normalisation
#
# By default $K$ is used as it is. So $y$ is smaller where few pixels are alike, and
# near the border of the image, where taps outside contribute nothing. With
# `normalize_kernel=True`
#
# $$K_{it} = \frac{m_{it}\, k_{it}}{\sum_t m_{it}\, k_{it}},$$
#
# where $k$ is the kernel from above and $m_{it}$ is 1 if the tap meets a pixel of
# $x$, else 0. Then the weights add up to 1.

# %%
K = adapting_kernel(guide, 5, padding="same")
normalized = adapting_kernel(guide, 5, padding="same", normalize=True)
for name, (row, column) in {**pixels, "corner of the image": (0, 0)}.items():
    sums = [np.sum(values[0, row, column]) for values in (K, normalized)]
    print(f"{name:20} sum of K {sums[0]:5.2f}, normalised {sums[1]:.2f}")

# %% [markdown]
# In the corner the sum has 25 terms too: a guide pixel outside the guide has the
# features 0. But what the filter meets there is 0, so it makes no difference to $y$.
#
# ## Stride, padding, dilation
#
# They mean what they mean in `keras.layers.Conv2D`. The guide has the size of the
# *input*, and $K$ that of the output:

# %%
for options in (
    {"padding": "valid"},
    {"padding": "same", "strides": 2},
    {"padding": "same", "dilation_rate": 4},
    {"padding": ((4, 0), (2, 2))},
):
    K = adapting_kernel(guide, 5, **options)
    y = PacConv2D(8, 5, **options)([x, guide])
    print(f"{str(options):44} K {tuple(K.shape)}, y {tuple(y.shape)}")

# %% [markdown]
# ## The transposed convolution
#
# {py:class}`keras_pac.layers.PacConv2DTranspose` enlarges: $s - 1$ zeros are put
# between the pixels of $x$, and a PAC of stride 1 runs over the result with the
# filter mirrored, as in `keras.layers.Conv2DTranspose`. So $K$ compares pixels of the
# **output**, and the guide has its size:

# %%
low = x[:, 1::2, 1::2]
layer = PacConv2DTranspose(8, 5, strides=2, padding="same")
print(
    "x", low.shape, "guide", tuple(guide.shape), "y", tuple(layer([low, guide]).shape)
)

# %% [markdown]
# Most taps of a window meet an inserted zero. Which ones do not depends on the output
# pixel's row and column modulo $s$, its *phase*. A normalised $K$ shows it, since
# taps that meet no pixel of $x$ get 0:

# %% tags=["hide-input"]
constant = np.zeros((1, 12, 12, 1), "float32")
options = {"strides": 2, "padding": "same", "transposed": True}
K = np.array(adapting_kernel(constant, 5, normalize=True, **options))[0].reshape(
    12, 12, 5, 5
)

figure, axes = plt.subplots(1, 4, figsize=(9, 3), layout="constrained")
figure.suptitle(
    "dots: samples of x; square: the output pixel; blue: taps that meet a sample"
)
for axis, (row, column) in zip(axes, [(4, 4), (4, 5), (5, 4), (5, 5)]):
    met = K[row, column] > 0
    draw_grid(axis, 10, f"row {row}, column {column}:\n{met.sum()} of 25 taps")
    for tap_row, tap_column in np.ndindex(5, 5):
        color = "tab:blue" if met[tap_row, tap_column] else "lavender"
        fill(axis, row + tap_row - 2, column + tap_column - 2, color)
    axis.plot(column, row, "s", color="tab:orange", markersize=5)
    grid = np.arange(1, 10, 2)
    axis.plot(*np.meshgrid(grid, grid), "o", color="black", markersize=3)
# %% [markdown]
# The four phases of stride 2 need $4 + 6 + 6 + 9 = 25$ taps together, where a window
# over the zeros has 100. Nothing is computed for the others: each phase is an
# ordinary convolution over $x$ with its own few taps. Without `normalize`,
# `adapting_kernel` returns a value for all 25 taps; the sum leaves out those that
# meet nothing.
#
# ## Pooling
#
# {py:class}`keras_pac.layers.PacPool2D` has no filter, and handles each channel $c$
# by itself:
#
# $$y_{i}[c] = \sum_t K(f_i, f_{i+t})\, x_{i+t}[c]$$
#
# With `normalize_kernel` that is a weighted mean. With `channel_wise=True`, $|f_i -
# f_j|^2$ is not summed over the channels: each channel of the guide gives the $K$ of
# the same channel of $x$. A convolution with `shared_filters=True` lies between the
# two: one weight a tap, $W_t\, K\, x[c]$.

# %%
pool = PacPool2D(9, padding="same", normalize_kernel=True)
same_everywhere = np.zeros_like(x)
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for axis, (title, image) in zip(
    axes,
    [
        ("x", x),
        ("pooled, constant guide", pool([x, same_everywhere])),
        ("pooled, guided by its colours", pool([x, guide])),
    ],
):
    axis.imshow(np.clip(image[0], 0, 1))
    axis.set(xticks=[], yticks=[], title=title)

# %% [markdown]
# ## Pixels without a value
#
# `layer([x, guide], valid_mask=m)` leaves out the pixels of $x$ where $m$ is 0. They
# may hold anything, NaN too. $K$ of the others is divided by the share of the window
# that counts:
#
# $$K_{it} = \frac{m_{it}\, k_{it}}{\sum_t m_{it} / n_i},$$
#
# where $n_i$ is the number of taps inside the image; with `normalize_kernel` the
# formula of the section above holds, with this $m$. Where no tap counts, $K$ is 0.
# The layer also returns a mask of the outputs that have seen a pixel.

# %%
known = np.random.default_rng(0).uniform(size=(1, 160, 160, 1)) < 0.1
holes = np.where(known, x, np.nan)
filled, seen = pool([holes, guide], valid_mask=known)
print(f"known {known.mean():.0%}, seen by a window {np.mean(seen):.2%}")

figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for axis, (title, image) in zip(
    axes,
    [
        ("x: one pixel in ten", np.nan_to_num(holes, nan=1)),
        ("pooled", filled),
        ("x, whole", x),
    ],
):
    axis.imshow(np.clip(image[0], 0, 1))
    axis.set(xticks=[], yticks=[], title=title)

# %% [markdown]
# ## Which argument does what
#
# | part | argument |
# |---|---|
# | which pixels: the window | `kernel_size`, `strides`, `padding`, `dilation_rate` |
# | how features are compared | `kernel_type`, `asymmetric`, `channel_wise` |
# | α and λ of the inverse kernel | `alpha`, `exponent`, `trainable_kernel` |
# | the centre $f_i$ | `smoothing` |
# | what $K$ is divided by | `normalize_kernel`, `valid_mask` of the call |
# | the filter | `filters`, `shared_filters` |
# | the features | a guide; without one $x$, or `guide_filters` features of it |
# | a $K$ computed before | `adapting_kernel` of the call |
#
# With `guide_filters=n` the guide is a trained 1×1 convolution of $x$ with $n$
# features.
#
# Gradients reach $x$, the guide, the filter, the bias, α, λ, the smoothing filter,
# and a $K$ that is given.
