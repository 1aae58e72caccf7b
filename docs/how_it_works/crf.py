# %% [markdown]
# # Mean field as PAC
#
# A conditional random field (CRF) behind a segmentation network asks two things of a
# labelling: that each pixel has a label that the network finds likely, and that
# pixels which look alike agree with their neighbours. *Mean field* approximates its
# answer in a few steps, and each step is a pixel-adaptive convolution:
# {py:class}`keras_pac.layers.PacCRF`.
#
# ## A step
#
# From the logits $u$ of the network (the unary term, one channel for each label),
# with $\log Q = u$ at first:
#
# $$Q = \mathrm{softmax}(\log Q), \qquad
# \log Q \leftarrow w_u\, u - \sum_k w_k\, m_k(Q)$$
#
# $$m_k(Q)_i[c] = \sum_{c'} \sum_t K_k(f_i, f_{i+t})\, W_{k,t}[c', c]\; Q_{i+t}[c']$$
#
# $m_k$ is the *message* of the $k$-th {py:class}`keras_pac.layers.PairwiseKernel`: a
# PAC of the probabilities, without bias, guided by features that tell which pixels
# belong together. The $K_k$ do not depend on $Q$, and are computed once for all
# steps.
#
# In `PacCRF` all steps have the same weights; in
# {py:class}`keras_pac.layers.PacCRFLoose` each has its own. `output` is what comes
# out at the end: $\log Q$ (`"logits"`), `"softmax"` or `"log_softmax"` of it.
#
# ## A message
#
# A drawn scene with three labels. The logits are those of a weak network: blurred,
# and noisy.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from skimage.draw import disk, polygon
from skimage.filters import gaussian

import keras_pac
from keras_pac import PacCRF, PairwiseKernel

keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)

truth = np.zeros((96, 128), int)
truth[disk((44, 40), 26)] = 1
truth[polygon([20, 84, 78], [92, 66, 120])] = 2
colours = np.array([[0.35, 0.5, 0.65], [0.85, 0.6, 0.3], [0.5, 0.75, 0.45]])
image = gaussian(colours[truth], 0.7, channel_axis=-1) + rng.normal(
    0, 0.03, (96, 128, 3)
)
image = image[None].astype("float32")

blurred = gaussian(np.eye(3)[truth], 5, channel_axis=-1)
coarse = rng.normal(0, 1, (24, 32, 3)).repeat(4, axis=0).repeat(4, axis=1)
unary = (5 * blurred + 0.6 * coarse)[None].astype("float32")

# %% [markdown]
# The features of a bilateral kernel are position and colour. Here the window bounds
# the position already, and colour is enough:

# %%
features = keras_pac.ops.position_color_features(image, color_scale=0.08)
kernel = PairwiseKernel(5, "potts", dilation_rate=2)
crf = PacCRF(kernel, steps=5, perturbed_init=False)
logits = crf([unary, features])


def accuracy(logits):
    return np.mean(np.argmax(logits[0], axis=-1) == truth)


print(f"right pixels: {accuracy(unary):.1%}, after five steps {accuracy(logits):.1%}")

# %% [markdown]
# The message of that kernel in the first step, written with `keras_pac.ops`, and the
# whole step compared with the layer's:

# %%
(W,) = [weight for weight in crf.weights if weight.name == "filter_0"]
q = keras.ops.softmax(unary)
options = {"padding": "same", "dilation_rate": 2}
K = keras_pac.ops.adapting_kernel(features, 5, **options)
message = keras_pac.ops.pac_conv2d(q, K, W, **options)
step = 1.0 * unary + 1.0 * message  # w_u is 1, and w_k is -1: see "potts" below

one_step = PacCRF(kernel, steps=1, perturbed_init=False)([unary, features])
print(f"largest difference {np.abs(step - one_step).max():.1e}")

# %%
unguided = keras_pac.ops.pac_conv2d(q, keras.ops.ones_like(K), W, **options)
drawings = {
    "Q of label 2": q,
    "its message": message,
    "its message, if K were 1": unguided,
}
figure, axes = plt.subplots(1, 3, figsize=(9, 2.6), layout="constrained")
for axis, (title, drawing) in zip(axes, drawings.items()):
    axis.imshow(drawing[0, :, :, 2])
    axis.set(xticks=[], yticks=[], title=title)

# %% [markdown]
# The message to a pixel is the vote of those of its neighbours that look like it. So
# it ends where the colour changes, however blurred $Q$ is. Without $K$ it would only
# be blurred once more.
#
# {py:func}`keras_pac.visualize.messages` draws the labels before and after a CRF, and
# the messages of its first step:

# %%
keras_pac.visualize.messages(crf, [unary, features], image=image[0].clip(0, 1))

# %% [markdown]
# ## Compatibility
#
# `compatibility` says how the label of one pixel bears on that of another, which is
# the form of $W$:
#
# | `compatibility` | filter | its start | weight $w_k$ |
# |---|---|---|---|
# | `"4d"` (default) | $W_t[c', c]$ | $(1 - \delta_{c'c})\, G_t$ | `weight` |
# | `"2d"` | $W_t\, M[c', c]$ | $G_t$ and $1 - \delta_{c'c}$ | `weight` |
# | `"potts"` | $W_t\, \delta_{c'c}$ | $G_t$ | −`weight` |
# | `"none"` | $W_t[c', c]$, and $K = 1$ | $(1 - \delta_{c'c})\, G_t$ | `weight` |
#
# `"4d"` has a number for every tap and pair of labels; `"2d"` one filter for all
# labels, and a matrix over pairs of labels; `"potts"` one filter, with each label by
# itself. `"none"` is a plain convolution that needs no features.
#
# $G$ is a Gaussian over the window ($\sigma$ = a quarter of its size) of mean 1,
# whose middle is then set to 0: a pixel sends no message to itself. For `"2d"` and
# `"4d"` a message is a penalty from other labels, to be subtracted; for `"potts"` a
# reward from the same label, so its weight is negative.
#
# The filters and $M$ are trained, and so is $w_u$ (unless `fixed_weighting=True`).
# $w_k$ is a constant, since $W$ can take any factor; only with
# `spatial_filter=False`, where $W$ is fixed to ones around a 0, is the $w_k$ of
# `"potts"` trained. Trainable filters start with noise of ±0.0005 unless
# `perturbed_init=False`.

# %%
for compatibility in ("4d", "2d", "potts", "none"):
    crf = PacCRF(PairwiseKernel(5, compatibility), steps=1)
    crf([unary, features] if compatibility != "none" else unary)
    shapes = {weight.name: tuple(weight.shape) for weight in crf.trainable_weights}
    print(f"{compatibility:6} {shapes}")

# %% [markdown]
# ## Reaching further: dilation and blur
#
# A message comes from at most $\tfrac{k - 1}{2}$ pixels away. Two arguments of
# {py:class}`keras_pac.layers.PairwiseKernel` stretch that at the same number of taps:
#
# - `dilation_rate` $d$: the taps are $d$ pixels apart.
# - `blur` $b$: $Q$ and the features are averaged over cells of $b \times b$ pixels
#   first. The message is computed for the cells and enlarged bilinearly. That takes
#   $b^2$ times fewer windows. Images whose size is no multiple of $b$ get cells at
#   the border that reach beyond it, and only the pixels inside are averaged.
#
# The reach is $b\, d\, \tfrac{k - 1}{2}$, with $b > 1$ up to two cells more. Kernels
# of different reach can be combined, as in `PacCRF([PairwiseKernel(5, "4d",
# dilation_rate=4), PairwiseKernel(5, "4d", dilation_rate=16)])`. What a single wrong
# pixel sends to its surroundings, in an image of one colour:

# %%
dot = np.zeros((1, 65, 65, 2), "float32")
dot[..., 1] = -10
dot[0, 32, 32] = [-10, 0]
flat = np.zeros((1, 65, 65, 1), "float32")
settings = [{}, {"dilation_rate": 4}, {"blur": 4}, {"dilation_rate": 2, "blur": 4}]
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), layout="constrained")
for axis, options in zip(axes, settings):
    kernel = PairwiseKernel(5, "potts", **options)
    logq = PacCRF(kernel, steps=1, unary_weight=0.0, perturbed_init=False)([dot, flat])
    axis.imshow(logq[0, :, :, 1])
    title = ", ".join(f"{name}={value}" for name, value in options.items())
    axis.set(xticks=[], yticks=[], title=title or "PairwiseKernel(5)")
    axis.title.set_fontsize(9)

# %% [markdown]
# ## How it is computed
#
# Where a message has the size of the image (`blur=1`), the terms before it are the
# start of its windowed sum, as an image in the place of the bias, and the softmax is
# the end of the last one. In the compiled op a step then takes one pass over the
# image for each kernel, and no other. The weight $w_k$ is multiplied into the filter,
# and $M$ applied to $Q$ before the sum: it is the same for all taps.
