# %% [markdown]
# # A CRF behind your segmentation network
#
# A segmentation network is often unsure near the borders of things, since its
# features are coarse. A conditional random field (CRF) lets the labels of neighbours
# agree where the picture looks alike. With pixel-adaptive convolutions its inference
# is a layer, `PacCRF`, that is trained with the network: each step is
#
# $$Q = \operatorname{softmax}(\log Q), \qquad
# \log Q = w_u\, u - \sum_k w_k \, \text{message}_k(Q),$$
#
# with the logits $u$ of the network. A message is a pixel-adaptive convolution of
# $Q$, guided by the picture.
#
# ## A network to start from
#
# Reddish discs, bluish squares and a grey background. The network has its logits at a
# quarter of the resolution, as many segmentation networks have at an eighth.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

from keras_pac import PairwiseKernel, visualize
from keras_pac.models import with_pac_crf

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
SIZE, CLASSES = 64, ["background", "disc", "square"]


def draw_scene():
    rows, columns = np.mgrid[:SIZE, :SIZE]
    labels = np.zeros((SIZE, SIZE), "int32")
    picture = np.full((SIZE, SIZE, 3), random.uniform(0.2, 0.8))
    for _ in range(6):
        kind, radius = random.integers(1, 3), random.integers(4, 12)
        row, column = random.integers(0, SIZE, 2)
        distances = np.abs(rows - row), np.abs(columns - column)
        inside = (
            np.hypot(*distances) < radius
            if kind == 1
            else np.maximum(*distances) < radius
        )
        color = random.uniform(0, 0.7, 3)
        color[0 if kind == 1 else 2] += 0.3
        labels[inside], picture[inside] = kind, color
    picture = np.clip(picture + random.normal(0, 0.05, picture.shape), 0, 1)
    return picture.astype("float32"), labels


pictures, labels = (
    np.stack(arrays) for arrays in zip(*[draw_scene() for _ in range(300)])
)
train, test = slice(0, 260), slice(260, 300)

Conv = keras.layers.Conv2D
network = keras.Sequential(
    [
        keras.Input((SIZE, SIZE, 3)),
        Conv(24, 3, strides=2, padding="same", activation="relu"),
        Conv(32, 3, strides=2, padding="same", activation="relu"),
        Conv(32, 3, padding="same", activation="relu"),
        Conv(32, 3, padding="same", activation="relu"),
        Conv(len(CLASSES), 1),
        keras.layers.UpSampling2D(4, interpolation="bilinear"),
    ],
    name="network",
)


def fit(model, epochs, learning_rate):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate), loss)
    model.fit(pictures[train], labels[train], batch_size=8, epochs=epochs, verbose=0)


def mean_iou(model):
    predicted = np.argmax(model(pictures[test]), axis=-1)
    scores = []
    for kind in range(len(CLASSES)):
        both = ((predicted == kind) & (labels[test] == kind)).sum()
        scores.append(both / ((predicted == kind) | (labels[test] == kind)).sum())
    return np.mean(scores)


fit(network, 20, 3e-3)
print(f"mean IoU of the network: {mean_iou(network):.3f}")

# %% [markdown]
# ## Put a CRF behind it
#
# `with_pac_crf` takes a segmentation model as it is and returns a new one. The kernel
# says what a message is: a window of 5×5 pixels, in which like pixels should have
# like labels ("potts"). Two pixels are alike where their colours differ by less than
# `color_scale`; that scale is trained, too.

# %%
model = with_pac_crf(network, PairwiseKernel(5, "potts", weight=0.3), color_scale=0.1)
print(f"before training: {mean_iou(model):.3f}")

# %% [markdown]
# Train the CRF alone first, then both together with a small rate. The network alone
# gets the same steps, for a fair comparison.

# %%
alone = keras.models.clone_model(network)
alone.set_weights(network.get_weights())

network.trainable = False
fit(model, 2, 1e-2)
network.trainable = True
fit(model, 4, 1e-3)
fit(alone, 6, 1e-3)
print(f"the network alone: {mean_iou(alone):.3f}")
print(f"with the CRF:      {mean_iou(model):.3f}")

# %%
one = pictures[test][:1]
figure, axes = plt.subplots(1, 4, figsize=(12, 3), layout="constrained")
images = one[0], *(np.argmax(m(one)[0], axis=-1) for m in (alone, model))
titles = "picture", "network alone", "with the CRF", "truth"
for axis, image, title in zip(axes, (*images, labels[test][0]), titles):
    axis.imshow(image, vmin=0, vmax=len(CLASSES) - 1)
    axis.set_title(title)
    axis.axis("off")

# %% [markdown]
# ## Look inside
#
# What the CRF has learned: the scale of its colours, and how much the neighbours
# weigh beside the network.

# %%
crf, features = model.get_layer("crf"), model.get_layer("features_0")
color_scale = np.exp(float(features.weights[0]))
print(f"colours are alike where they differ by {color_scale:.2f} or less")
print(f"weight of the network's logits: {float(crf.weights[0]):.2f}")

# %%
visualize.messages(crf, [network(one), features(one)], image=one[0], labels=CLASSES)

# %% [markdown]
# ## Choose the kernels
#
# | | compatibility | what is trained |
# |---|---|---|
# | `"potts"` | like pixels want the same label | a filter of one number a tap |
# | `"2d"` | which labels go together | such a filter, and a matrix of labels |
# | `"4d"` | which labels go together at each offset | a matrix of labels for each tap |
#
# - `dilation_rate=4` lets a window of 5×5 reach 8 pixels far, at the cost of one of
#   5×5.
# - Several kernels add up: `[PairwiseKernel(5, "4d", dilation_rate=4),
#   PairwiseKernel(5, "4d", dilation_rate=16)]`.
# - `blur=4` compares means of 4×4 pixels: cheaper, and further.
# - `weight` is the factor of its message: with 1, the 24 neighbours outweigh most
#   networks at first.
#
# How it does on photographs, and beside a CRF that compares every pixel with every
# other, is in {doc}`/results/segmentation`; refinement that needs no training in
# {doc}`refinement`; the mathematics in {doc}`/how_it_works/crf`.
