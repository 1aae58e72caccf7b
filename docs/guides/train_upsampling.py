# %% [markdown]
# # Train joint upsampling on your own pairs
#
# The network behind `keras_pac.upsample` has seen drawn scenes only. If you have
# pictures with depth, or flow, or any other map of your own, some minutes of training
# on them make it better there. This guide does it with Keras alone. For long
# trainings there is a program, at the end.
#
# ## Pairs in a folder
#
# A folder `rgb` with pictures and a folder `depth` with maps of the same names. Here
# they are made: shapes in front of each other, whose surfaces are pieces of
# photographs (from scikit-image).

# %%
import pathlib

import keras
import matplotlib.pyplot as plt
import numpy as np
from skimage import data, io

import keras_pac
from keras_pac.models import LearnedBilateralUpsample

keras.utils.set_random_seed(0)
random = np.random.default_rng(0)
FACTOR, SIZE = 4, 128
SURFACES = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]


def surface():
    photo = SURFACES[random.integers(len(SURFACES))]
    row, column = (random.integers(0, size - SIZE) for size in photo.shape[:2])
    return photo[row : row + SIZE, column : column + SIZE]


def draw_pair():
    rows, columns = np.mgrid[:SIZE, :SIZE]
    picture, depth = surface().copy(), 4 + 0.01 * rows
    for distance in np.sort(random.uniform(1, 4, 8))[::-1]:
        row, column, radius = *random.integers(0, SIZE, 2), random.integers(8, 32)
        slope = random.normal(0, 0.01, 2)
        inside = np.hypot(rows - row, columns - column) < radius
        plane = distance + slope[0] * (rows - row) + slope[1] * (columns - column)
        depth[inside], picture[inside] = plane[inside], surface()[inside]
    return picture, depth.astype("float32")


folder = pathlib.Path("my")
for name in ("rgb", "depth"):
    (folder / name).mkdir(parents=True, exist_ok=True)
for number in range(120):
    picture, depth = draw_pair()
    io.imsave(folder / "rgb" / f"{number:03}.png", picture, check_contrast=False)
    np.save(folder / "depth" / f"{number:03}.npy", depth)

# %% [markdown]
# ## Read them
#
# The network takes `[target_low, guide]`, pictures from 0 to 1 and targets of about
# that range, and gives the target at the size of the guide. How the low-resolution
# map is made decides what the network learns: make it as yours will be. Here it is
# one sample of each cell.

# %%
pairs = []
for path in sorted((folder / "depth").iterdir()):
    photo = io.imread(folder / "rgb" / f"{path.stem}.png").astype("float32") / 255
    pairs.append((np.load(path)[..., None] / 5, photo))
depths, photos = (np.stack(arrays) for arrays in zip(*pairs))
first = (FACTOR - 1) // 2
lows = depths[:, first::FACTOR, first::FACTOR]
train, test = slice(0, 100), slice(100, 120)

figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for axis, image, title in zip(
    axes, (photos[0], lows[0], depths[0]), ("rgb", "low", "depth")
):
    axis.imshow(image)
    axis.set_title(title)
    axis.axis("off")

# %% [markdown]
# ## Train
#
# The ready-made weights are the start. Where ranges of depth differ much between your
# scenes, divide each pair by its range, so that every scene counts alike.

# %%
network = LearnedBilateralUpsample(FACTOR, weights="scenes")


def error(result):
    return float(np.sqrt(np.mean((result - depths[test]) ** 2)))


bilinear = keras.layers.UpSampling2D(FACTOR, interpolation="bilinear")(lows[test])
print(f"bilinear:        {error(keras.ops.convert_to_numpy(bilinear)):.4f}")
inputs = [lows[test], photos[test]]
print(f"ready-made:      {error(network.predict(inputs, verbose=0)):.4f}")

network.compile(keras.optimizers.Adam(1e-3, clipnorm=1.0), "mean_squared_error")
network.fit(
    [lows[train], photos[train]], depths[train], batch_size=4, epochs=6, verbose=2
)
print(f"after training:  {error(network.predict(inputs, verbose=0)):.4f}")

# %% [markdown]
# ## Use it
#
# `keras_pac.upsample` takes the network for arrays of any size and unit, with unknown
# pixels and in tiles.

# %%
network.save("mine.keras")
mine = keras.models.load_model("mine.keras")
results = [
    keras_pac.upsample(lows[119], photos[119], weights=w)[..., 0]
    for w in ("scenes", mine)
]

figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), layout="constrained")
images = photos[119], *results, depths[119, ..., 0]
for axis, image, title in zip(
    axes, images, ("rgb", "ready-made", "trained further", "truth")
):
    axis.imshow(image, vmin=0.1, vmax=1)
    axis.set_title(title)
    axis.axis("off")

# %% [markdown]
# ## Longer trainings
#
# In a clone of the repository there is a program for them: it reads folders and data
# sets, makes crops and low-resolution maps of several kinds, goes on after it was
# stopped, measures and draws.
#
# ```bash
# python -m examples.joint_upsampling train \
#     --data folder --images my/rgb --targets my/depth --split 'train[:80%]' \
#     --factor 4 --crop 96 --batch-size 4 --steps 5000 \
#     --network LearnedBilateralUpsample --initial-weights mine.keras --out outputs/mine
# python -m examples.joint_upsampling evaluate \
#     --data folder --images my/rgb --targets my/depth --split 'train[80%:]' \
#     --factor 4 --weights outputs/mine/network.keras
# ```
#
# The other networks of {doc}`keras_pac.models </reference/index>` are called in the
# same way: those of the paper, `PacJointUpsample` and `PacJointUpsampleLite`, and
# `DJIF`, which has plain convolutions. What each reaches on real data is in
# {doc}`/results/joint_upsampling`.
