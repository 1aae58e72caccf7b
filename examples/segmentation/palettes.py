"""The colours and names of the classes of VOC and CamVid."""

import numpy as np

VOC_NAMES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor"
).split()
CAMVID = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "pavement": (0, 0, 192),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
NAMES = {"voc": VOC_NAMES, "camvid": list(CAMVID)}


def voc_palette():
    """The (256, 3) colours of VOC: bits 0, 1, 2 of a label are the top bits of R, G, B.

    Bits 3, 4, 5 are the next bits of them, bits 6 and 7 those after that.
    """
    labels = np.arange(256)[:, None] >> np.arange(3)  # one column each for R, G and B
    bits = [(labels >> 3 * place & 1) << 7 - place for place in range(3)]
    return np.sum(bits, 0).astype(np.uint8)


def camvid_palette():
    """The (256, 3) colours of CamVid's 11 classes; black for what has no class."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(CAMVID)] = list(CAMVID.values())
    return palette


PALETTES = {"voc": voc_palette(), "camvid": camvid_palette()}


def class_names(palette, classes):
    """The names of the classes where the palette is theirs, else their numbers."""
    names = NAMES[palette]
    return names if len(names) == classes else [str(number) for number in range(classes)]
