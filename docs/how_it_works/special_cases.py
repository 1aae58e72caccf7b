# %% [markdown]
# # What PAC contains
#
# Several known filters are pixel-adaptive convolutions with a certain guide, adapting
# kernel and filter. Here each is written with keras_pac, and compared with Keras,
# scikit-image or a definition in NumPy. All is computed in float64, so that a
# difference near $10^{-16}$ is rounding.
#
# | filter | guide | $K$ | filter $W$ | layer |
# |---|---|---|---|---|
# | convolution | constant | 1 | trained | `PacConv2D` |
# | transposed convolution | constant | 1 | trained | `PacConv2DTranspose` |
# | average pooling | constant | normalised | ones | `PacPool2D` |
# | bilateral filter | position and colour | gaussian, normalised | ones | `PacPool2D` |
# | joint bilateral upsampling | the same | the same | ones | `PacConv2DTranspose` |
# | detail-preserving pooling | the input | inverse, normalised | ones | `PacPool2D` |

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from skimage.data import astronaut, text
from skimage.restoration import denoise_bilateral

import keras_pac
from keras_pac import PacConv2D, PacConv2DTranspose, PacPool2D

keras.utils.set_random_seed(0)
keras.config.set_floatx("float64")
photo = astronaut()[:121, 160:281] / 255  # 121 x 121 pixels


def compare(what, actual, expected):
    difference = np.abs(np.asarray(actual) - np.asarray(expected)).max()
    print(f"{what}: largest difference {difference:.1e}")


# %% [markdown]
# ## Convolution
#
# In a constant guide all features are equal, every distance is 0, and the gaussian
# kernel is 1 everywhere:
#
# $$y_i = b + \sum_j 1 \cdot W[p_i - p_j]\, x_j$$
#
# That is `keras.layers.Conv2D`. The same holds for the transposed layer. (A pixel
# outside the guide has the features 0, but it also contributes nothing.)

# %%
x = photo[None]
guide = np.full((1, 121, 121, 4), 0.7)

plain = keras.layers.Conv2D(8, 5, strides=2, padding="same", bias_initializer="normal")
pac = PacConv2D(8, 5, strides=2, padding="same")
expected = plain(x)
pac.build([x.shape, guide.shape])
pac.set_weights(plain.get_weights())
compare("Conv2D", pac([x, guide]), expected)

# %%
large_guide = np.full((1, 242, 242, 4), 0.7)

plain = keras.layers.Conv2DTranspose(
    8, 5, strides=2, padding="same", bias_initializer="normal"
)
pac = PacConv2DTranspose(8, 5, strides=2, padding="same")
expected = plain(x)
pac.build([x.shape, large_guide.shape])
pac.set_weights(plain.get_weights())
compare("Conv2DTranspose", pac([x, large_guide]), expected)

# %% [markdown]
# ## Average pooling
#
# With a constant guide and `normalize_kernel`, each of the $n$ taps inside the image
# has the weight $1 / n$.

# %%
pac = PacPool2D(3, strides=2, padding="same", normalize_kernel=True)
plain = keras.layers.AveragePooling2D(3, strides=2, padding="same")
compare("AveragePooling2D", pac([x, guide]), plain(x))

# %% [markdown]
# ## The bilateral filter
#
# Tomasi and Manduchi (1998) average over a window, with weights that fall with the
# distance in space and in colour:
#
# $$y_i = \frac{\sum_j K_{ij}\, x_j}{\sum_j K_{ij}}, \qquad
# K_{ij} = \exp\left(-\frac{|p_i - p_j|^2}{2 \sigma_s^2}
# - \frac{|x_i - x_j|^2}{2 \sigma_c^2}\right)$$
#
# This $K$ is the gaussian kernel of the features $f_i = [p_i / \sigma_s,\; x_i /
# \sigma_c]$, which {py:func}`keras_pac.ops.position_color_features` makes. The rest
# is pooling with a normalised kernel.

# %%
window, sigma_space, sigma_color = 7, 2.0, 0.1
rng = np.random.default_rng(0)
noisy = photo + rng.normal(0, 0.06, photo.shape)
noisy = noisy[None].clip(0, 1)

features = keras_pac.ops.position_color_features(noisy, sigma_space, sigma_color)
bilateral = PacPool2D(window, padding="same", normalize_kernel=True)
smooth = bilateral([noisy, features])

figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
for axis, (title, image) in zip(
    axes,
    [
        ("with noise", noisy),
        ("average pooling", bilateral([noisy, guide])),
        ("bilateral", smooth),
    ],
):
    axis.imshow(np.clip(image[0], 0, 1))
    axis.set_title(title)
    axis.axis("off")

# %% [markdown]
# The definition in NumPy, one pixel after the other:


# %%
def bilateral_by_definition(image, window, sigma_space, sigma_color):
    height, width, _ = image.shape
    half, result = window // 2, np.empty_like(image)
    for row, column in np.ndindex(height, width):
        rows = np.arange(max(row - half, 0), min(row + half + 1, height))[:, None]
        columns = np.arange(max(column - half, 0), min(column + half + 1, width))
        x = image[rows, columns]
        distance = ((rows - row) ** 2 + (columns - column) ** 2) / sigma_space**2
        distance = (
            distance + np.sum((x - image[row, column]) ** 2, axis=-1) / sigma_color**2
        )
        K = np.exp(-distance / 2)[..., None]
        result[row, column] = np.sum(K * x, axis=(0, 1)) / K.sum()
    return result


expected = bilateral_by_definition(noisy[0], window, sigma_space, sigma_color)
compare("bilateral filter", smooth[0], expected)

# %% [markdown]
# ### Against scikit-image
#
# `skimage.restoration.denoise_bilateral` differs from that definition in four ways:
#
# - **Colour, in steps.** The weight of a colour comes from a table of `bins` entries:
#   the distance is rounded down to a multiple of $n \cdot \max(x) / \mathrm{bins}$,
#   for $n$ channels.
# - **Colour, scaled.** What is looked up is the distance divided by the number of
#   channels. For RGB, its `sigma_color` is therefore a third of $\sigma_c$ above.
# - **Border.** The image is continued (`mode`), and the pixels outside count. The
#   layer leaves them out; so here the image is padded first, and the layer gets
#   `padding="valid"`.
# - **Space.** The weights of the window are not those of $\exp(-|p_i - p_j|^2 / 2
#   \sigma_s^2)$; see below. With an infinite `sigma_spatial` all of them are 1, and
#   only colours count.


# %%
def pad(image, mode):
    half = window // 2
    return np.pad(image, ((0, 0), (half, half), (half, half), (0, 0)), mode)


padded = pad(noisy, "edge")
features = keras_pac.ops.position_color_features(padded, color_scale=sigma_color)
colour_only = PacPool2D(window, normalize_kernel=True)([padded, features])

options = {
    "win_size": window,
    "sigma_color": sigma_color / 3,
    "mode": "edge",
    "channel_axis": -1,
}
for bins in (10_000, 10_000_000):
    expected = denoise_bilateral(noisy[0], sigma_spatial=np.inf, bins=bins, **options)
    compare(f"denoise_bilateral, colours only, {bins} bins", colour_only[0], expected)

# %% [markdown]
# A thousand times as many bins, a thousand times smaller a difference: what is left
# is the rounding of its table.
#
# The weights of the window show in the response to a single bright pixel, with all
# colours weighted alike:

# %%
dot = np.zeros((2 * window + 1, 2 * window + 1))
dot[window, window] = 1
response = denoise_bilateral(
    dot, win_size=window, sigma_color=np.inf, sigma_spatial=sigma_space, mode="edge"
)
inside = slice(window - window // 2, window + window // 2 + 1)
weights = response[inside, inside][::-1, ::-1]  # of the tap at each place of the window

points = np.arange(window) - window // 2
gauss = np.exp(-(points[:, None] ** 2 + points**2) / (2 * sigma_space**2))
gauss /= gauss.sum()

figure, axes = plt.subplots(1, 2, figsize=(6, 3), layout="constrained")
figure.suptitle("weights of the 7×7 window, $\\sigma_s$ = 2")
for axis, (title, image) in zip(axes, [("scikit-image", weights), ("Gaussian", gauss)]):
    axis.imshow(image, vmin=0, vmax=gauss.max())
    axis.set_title(title)
    axis.axis("off")
# %% [markdown]
# In the version that made this page they are sheared: its table has $8 \times 8$
# entries for this window, and is read in rows of seven. PAC can do that too, since
# its filter $W$ may be any: the kernel compares colours, the filter has the weights
# of the window, and the same sum over an image of ones is what to divide by.

# %%
K = keras_pac.ops.adapting_kernel(features, window)
W = weights[:, :, None, None]
above = keras_pac.ops.pac_conv2d(padded, K, W)
below = keras_pac.ops.pac_conv2d(np.ones_like(padded), K, W)

for bins in (10_000, 10_000_000):
    expected = denoise_bilateral(
        noisy[0], sigma_spatial=sigma_space, bins=bins, **options
    )
    compare(f"denoise_bilateral, {bins} bins", (above / below)[0], expected)
compare("the same, and the bilateral filter", (above / below)[0], smooth[0])

# %% [markdown]
# ## Joint bilateral upsampling
#
# Kopf et al. (2007) take the weights from another, larger picture $g$. Output pixel
# $i$ averages the low-resolution samples $j$ in its window, which lie at the
# positions $q_j$ of the large picture:
#
# $$y_i = \frac{\sum_j K_{ij}\, x_j}{\sum_j K_{ij}}, \qquad
# K_{ij} = \exp\left(-\tfrac{1}{2} \left(s_p^2\, |p_i - q_j|^2
# + s_c^2\, |g_i - g_{q_j}|^2\right)\right)$$
#
# That is a transposed PAC with a shared filter of ones and a normalised kernel. With
# the padding below, the sample in row $r$ and column $c$ lies at row $4 r + 1$ and
# column $4 c + 1$ of the picture: the middle of its cell of 4×4 pixels, rounded down.

# %%
picture = photo[None, :120, :120]
low = picture[:, 1::4, 1::4].mean(axis=-1, keepdims=True)  # (1, 30, 30, 1)
scale_space, scale_color = 0.4, 8.0

features = keras_pac.ops.position_color_features(
    picture, 1 / scale_space, 1 / scale_color
)
upsample = PacConv2DTranspose(
    filters=1,
    kernel_size=9,
    strides=4,
    padding=3,
    output_padding=1,
    shared_filters=True,
    kernel_initializer="ones",
    use_bias=False,
    normalize_kernel=True,
)
sharp = upsample([low, features])
print(low.shape, "to", tuple(sharp.shape))

# %% [markdown]
# In NumPy, with all pairs of an output and a sample at once:

# %%
at = 4 * np.arange(30) + 1  # rows, and columns, of the samples
near = np.abs(np.arange(120)[:, None] - at) <= 9 // 2  # (120, 30)
in_window = near[:, None, :, None] & near[None, :, None, :]  # (120, 120, 30, 30)
space = (np.arange(120)[:, None] - at) ** 2
distance = scale_space**2 * (space[:, None, :, None] + space[None, :, None, :])
for c in range(3):
    g = picture[0, :, :, c]
    distance = distance + (scale_color * (g[:, :, None, None] - g[np.ix_(at, at)])) ** 2
K = np.where(in_window, np.exp(-distance / 2), 0)
expected = np.sum(K * low[0, :, :, 0], axis=(2, 3)) / np.sum(K, axis=(2, 3))
compare("in NumPy", sharp[0, :, :, 0], expected)

model = keras_pac.models.JointBilateralUpsample(4, 9, scale_space, scale_color)
compare("JointBilateralUpsample", sharp, model([low, picture]))

# %% [markdown]
# ## Detail-preserving pooling
#
# Saeedan et al. (CVPR 2018) give a pixel more weight, the more it differs from its
# surroundings, so that small details survive:
#
# $$y_i = \frac{\sum_j w_{ij}\, x_j}{\sum_j w_{ij}}, \qquad
# w_{ij} = \alpha + \rho_\lambda(x_j - \tilde x_i), \qquad
# \rho_\lambda(d) = \left(\sqrt{d^2 + \epsilon^2}\right)^\lambda$$
#
# for every channel by itself. $\tilde x$ is $x$ filtered at the place of the output:
# with a mean in their "lite" variant, with a trained filter in the full one. In the
# asymmetric variant $d$ is $\max(d, 0)$.
#
# This $w$ is the inverse kernel $\alpha + (d^2 + \epsilon^2)^{\lambda / 2}$ of an
# image that guides itself, where $\epsilon$ is 0.01. The filtered centre is
# `smoothing`: `("average", 3)`, or `("learned", 3)` for the full variant, where
# $\alpha$ and $\lambda$ of each channel are trained as well. The PAC paper names this
# special case in section 3.

# %%
settings = {"alpha": 0.0625, "exponent": 1.5}
pooled = {}
for asymmetric in (False, True):
    pool = PacPool2D(
        3,
        strides=2,
        kernel_type="inverse",
        channel_wise=True,
        smoothing=("average", 3),
        asymmetric=asymmetric,
        normalize_kernel=True,
        **settings,
    )
    pooled[asymmetric] = pool(x)

# %% [markdown]
# In NumPy, where `windows[i]` are the nine pixels around each output:

# %%
windows = np.lib.stride_tricks.sliding_window_view(photo, (3, 3), axis=(0, 1))[::2, ::2]
windows = windows.reshape(60, 60, 3, 9)
center = windows.mean(axis=-1, keepdims=True)
for asymmetric in (False, True):
    d = windows - center
    d = np.maximum(d, 0) if asymmetric else d
    w = settings["alpha"] + np.sqrt(d**2 + 0.01**2) ** settings["exponent"]
    expected = np.sum(w * windows, axis=-1) / np.sum(w, axis=-1)
    name = "asymmetric" if asymmetric else "symmetric"
    compare(f"detail-preserving pooling, {name}", pooled[asymmetric][0], expected)

# %%
page = text()[None, 20:116, :320, None] / 255
dpp = PacPool2D(
    5,
    strides=3,
    kernel_type="inverse",
    alpha=0.0,
    exponent=1.0,
    channel_wise=True,
    smoothing=("average", 5),
    normalize_kernel=True,
)
drawings = {
    "average pooling": keras.layers.AveragePooling2D(5, strides=3)(page),
    "detail-preserving pooling": dpp(page),
}
figure, axes = plt.subplots(2, 1, figsize=(7, 4.8), layout="constrained")
for axis, (title, image) in zip(axes, drawings.items()):
    axis.imshow(image[0], cmap="gray")
    axis.set_title(title)
    axis.axis("off")

# %% [markdown]
# Both are a third of the size of what they were made from. Thin strokes keep more of
# their contrast.
#
# The equalities of this page are also tests, on random images of odd sizes:
# `tests/docs/test_special_cases.py`.
#
# References:
#
# - C. Tomasi, R. Manduchi: *Bilateral Filtering for Gray and Color Images*, ICCV 1998
# - J. Kopf, M. F. Cohen, D. Lischinski, M. Uyttendaele: *Joint Bilateral Upsampling*,
#   SIGGRAPH 2007
# - F. Saeedan, N. Weber, M. Goesele, S. Roth: *Detail-Preserving Pooling in Deep
#   Networks*, CVPR 2018, [arXiv 1804.04076](https://arxiv.org/abs/1804.04076)
# - H. Su et al.: *Pixel-Adaptive Convolutional Neural Networks*, CVPR 2019, [arXiv
#   1904.05373](https://arxiv.org/abs/1904.05373)
