# %% [markdown]
# # Refinement without training
#
# A segmentation network often finds the right labels in roughly the right places. Its
# logits have an eighth of the resolution of the image, or a mask was drawn by hand in a
# hurry. {py:func}`keras_pac.models.refine` moves the borders of such labels to the
# edges of the image. Nothing is trained. It takes arrays: the probabilities of the
# labels, `(height, width, labels)`, and the image.
#
# It has two methods, and this page shows what each is good at:
#
# - `"crf"`: some mean-field steps of a {py:class}`keras_pac.layers.PacCRF`. Each step
#   looks at the 5×5 pixels around a pixel.
# - `"pamr"`: pixel-adaptive mask refinement,
#   {py:class}`keras_pac.layers.PixelAdaptiveRefinement`. Each step looks at neighbours
#   up to 24 pixels away.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from skimage import data, draw, filters, transform

from keras_pac.layers import PixelAdaptiveRefinement
from keras_pac.models import refine

# %% [markdown]
# ## A scene with a known truth
#
# To measure a gain, the true labels must be known. So we cut shapes out of two
# photographs and lay them on a third one: fur, a cup of coffee and an evening sky.

# %%
SIZE = 240
PHOTOS = (
    data.chelsea()[:SIZE, 40 : 40 + SIZE],
    data.coffee()[100 : 100 + SIZE, 100 : 100 + SIZE],
    data.rocket()[100 : 100 + SIZE, 200 : 200 + SIZE],
)


def make_scene(seed):
    """An image made of three photographs, and its true labels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((SIZE, SIZE), int)
    for i in range(6):
        center, radii = rng.uniform(30, SIZE - 30, 2), rng.uniform(20, 45, 2)
        if i < 3:
            turn = rng.uniform(0, np.pi)
            shape = draw.ellipse(*center, *radii, labels.shape, rotation=turn)
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, 5))
            corners = center + 1.3 * radii * np.stack(
                [np.sin(angles), np.cos(angles)], 1
            )
            shape = draw.polygon(*corners.T, labels.shape)
        labels[shape] = 1 + i % 2
    return np.choose(labels[..., None], PHOTOS), labels


def rough_probabilities(labels, cell):
    """The truth at a resolution that is `cell` times lower, enlarged again."""
    probabilities = transform.downscale_local_mean(np.eye(3)[labels], (cell, cell, 1))
    enlarged = transform.resize(probabilities, (*labels.shape, 3), order=1)
    return np.clip(enlarged, 0, 1)


def mean_iou(probabilities, labels):
    """Mean of the labels' intersection over union."""
    found, kinds = probabilities.argmax(-1), range(3)
    both = [((found == k) & (labels == k)).sum() for k in kinds]
    either = [((found == k) | (labels == k)).sum() for k in kinds]
    return np.mean(np.divide(both, either))


def show(image, **masks):
    """The image, and beside it itself in the colours of each mask's labels."""
    colours = np.array([[0.2, 0.2, 0.2], [1.0, 0.75, 0.1], [0.2, 0.75, 0.9]])
    figure, axes = plt.subplots(1, 1 + len(masks), figsize=(10, 3), layout="tight")
    axes[0].imshow(image)
    for ax, mask in zip(axes[1:], masks.values()):
        ax.imshow(0.35 * image / 255 + 0.65 * colours[mask.argmax(-1)])
    for ax, name in zip(axes, ("image", *masks)):
        ax.set(title=name, xticks=[], yticks=[])


# %% [markdown]
# The rough probabilities are those of cells of 16×16 pixels, enlarged bilinearly.

# %%
image, labels = make_scene(seed=2)
rough = rough_probabilities(labels, cell=16)
by_crf = refine(rough, image, method="crf")
by_pamr = refine(rough, image, method="pamr")
for name, result in (("rough", rough), ("crf", by_crf), ("pamr", by_pamr)):
    print(f"{name:<5}  mean IoU {mean_iou(result, labels):.3f}")
show(image, rough=rough, crf=by_crf, pamr=by_pamr)

# %% [markdown]
# The CRF makes borders sharp and leaves corners round where the mask is wrong by more
# pixels than it looks at. PAMR finds more of these corners.
#
# ## When which
#
# The size of the cells says how far the mask is wrong. Which method gains more depends
# on it.

# %%
scenes = [make_scene(seed) for seed in range(3)]


def mean_of_scenes(cell, **options):
    """Mean IoU after `refine` with these options; before it, if there are none."""
    scores = []
    for image, labels in scenes:
        result = rough_probabilities(labels, cell)
        if options:
            result = refine(result, image, **options)
        scores.append(mean_iou(result, labels))
    return np.mean(scores)


print("cell   rough     crf    pamr   pamr, 3 steps")
for cell in (4, 8, 12, 20):
    scores = [
        mean_of_scenes(cell),
        mean_of_scenes(cell, method="crf"),
        mean_of_scenes(cell, method="pamr"),
        mean_of_scenes(cell, method="pamr", steps=3),
    ]
    print(f"{cell:>4}", *(f"{score:7.3f}" for score in scores))

# %% [markdown]
# - Masks that are right but for a few pixels at the borders: the CRF. It is also the
#   faster one; PAMR takes several times as long.
# - Masks of cells of 12 pixels and more, on objects of few colours: PAMR.
# - A network's mistakes are seldom of this kind only. Where it gives a whole object the
#   wrong label, no colour helps. Behind a network that was trained on street scenes
#   (CamVid), the CRF gained 0.4 points of mean IoU and PAMR lost 1.5, although both
#   gained close to borders ({doc}`/results/segmentation`). So measure on images of your
#   own. If you can train, a trained CRF gains more:
#   {py:func}`keras_pac.models.with_pac_crf`.
#
# ## The arguments of the CRF
#
# `color_scale` says how far the colours of similar pixels differ, in units of an image
# from 0 to 1. With a small one few neighbours count as similar, so little moves; with a
# large one all do, edges no longer matter, and nothing is gained. `steps` says how far
# labels travel: two pixels in each.

# %%
for scale in (0.01, 0.03, 0.1, 0.3, 3.0):
    print(
        f"color_scale {scale:<4}  mean IoU {mean_of_scenes(8, color_scale=scale):.3f}"
    )
for steps in (1, 2, 5, 10, 20):
    print(f"steps {steps:<10}  mean IoU {mean_of_scenes(8, steps=steps):.3f}")

# %% [markdown]
# `position_scale` weakens neighbours that are further away. `kernels` takes other
# kernels: wider windows, or neighbours with gaps between them. Here the window is as
# wide as 17 pixels:

# %%
wide = {"kernel_size": 5, "dilation_rate": 4, "compatibility": "potts", "weight": 0.3}
near = {"kernel_size": 5, "compatibility": "potts", "weight": 0.3}
print(f"near          mean IoU {mean_of_scenes(8, kernels=near):.3f}")
print(f"near and wide mean IoU {mean_of_scenes(8, kernels=[near, wide]):.3f}")

# %% [markdown]
# ## A mask drawn by hand
#
# A few corners for each object of a photograph, and a blur that says how unsure the
# hand is. The mask is wrong by more than a few pixels, so the CRF gets the wide kernel,
# too, and more steps. Here nothing can be counted: the truth is what you see.

# %%
photo = data.astronaut()
suit_rows = [200, 230, 511, 511, 330, 300, 240, 290, 260]
suit_columns = [140, 60, 30, 300, 310, 380, 330, 250, 180]
helmet_rows = [350, 420, 511, 511, 400]
helmet_columns = [400, 300, 290, 511, 490]
hand = np.zeros(photo.shape[:2], int)
hand[draw.polygon(suit_rows, suit_columns, hand.shape)] = 1
hand[draw.polygon(helmet_rows, helmet_columns, hand.shape)] = 2
by_hand = filters.gaussian(np.eye(3)[hand], 10, channel_axis=-1).clip(0, 1)

by_crf = refine(by_hand, photo, kernels=[near, wide], steps=20)
by_pamr = refine(by_hand, photo, method="pamr")
show(photo, **{"by hand": by_hand, "crf": by_crf, "pamr": by_pamr})

# %% [markdown]
# Both follow the suit and the collar. Neither mends what is wrong by much more than
# they look at: the sleeve on the left edge, and the white rim of the helmet.
#
# Images of any size work: large ones are computed in tiles of `tile` pixels, with the
# pixels around them, so that the result is that of the whole image.
#
# ## A layer in a model
#
# PAMR is also a layer, for batches of tensors. It resizes the mask to the size of the
# image itself and has no weights, but gradients pass through it: it can stand behind a
# network that is trained, and it is saved and exported with the model. As a model of
# its own:

# %%
mask_input = keras.Input((None, None, 3), name="mask")
image_input = keras.Input((None, None, 3), name="image")
layer = PixelAdaptiveRefinement(dilation_rates=(1, 2, 4, 8, 12, 24), iterations=10)
model = keras.Model([mask_input, image_input], layer([mask_input, image_input]))
print("weights:", model.count_params())

images, truths = (np.stack(arrays) for arrays in zip(*scenes))
images = images.astype("float32")
masks = transform.downscale_local_mean(np.eye(3)[truths], (1, 8, 8, 1))
results = model.predict([masks, images], verbose=0)
print("masks", masks.shape, "images", images.shape, "results", results.shape)
scores = [mean_iou(result, truth) for result, truth in zip(results, truths)]
print(f"mean IoU {np.mean(scores):.3f}")

# %% [markdown]
# The image may be of any unit here: colours are compared with their own standard
# deviation around each pixel. `dilation_rates` are the distances of the neighbours.
# Without the far ones, PAMR keeps closer to the mask that it is given, and is faster.

# %%
for rates in ((1, 2), (1, 2, 4), (1, 2, 4, 8, 12, 24)):
    results = np.array(PixelAdaptiveRefinement(dilation_rates=rates)([masks, images]))
    scores = [mean_iou(result, truth) for result, truth in zip(results, truths)]
    print(f"dilation_rates {rates!s:<21} mean IoU {np.mean(scores):.3f}")
