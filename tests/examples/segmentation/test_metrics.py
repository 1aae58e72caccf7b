"""Measures and colours of segmentation."""

import keras
import numpy as np
import pytest

from examples.segmentation import metrics, palettes


def test_scores_are_those_of_counting_pixel_by_pixel(rng):
    truths = [rng.integers(0, 5, size).astype(np.uint8) for size in ((7, 9), (4, 6))]
    truths[0][truths[0] == 3] = 0  # class 3 occurs in no truth, but is predicted
    truths[1][truths[1] == 3] = 255
    predictions = [rng.integers(0, 5, truth.shape).astype(np.uint8) for truth in truths]
    truths[0][:2] = 255
    metric = metrics.MeanIoU(5)
    for truth, prediction in zip(truths, predictions):
        metric.update_state(truth, np.eye(5, dtype=np.float32)[prediction])
    confusion = np.asarray(metric.total_cm)
    result = metrics.scores(confusion)

    pixels = [
        (int(t), int(p))
        for truth, prediction in zip(truths, predictions)
        for t, p in zip(truth.ravel(), prediction.ravel())
        if t != 255
    ]
    ious = []
    for c in (0, 1, 2, 4):
        intersection = sum(t == c and p == c for t, p in pixels)
        ious.append(intersection / sum(t == c or p == c for t, p in pixels))
    np.testing.assert_allclose([*result["iou"][:3], result["iou"][4]], ious, rtol=1e-12)
    assert np.isnan(result["iou"][3])
    assert result["mean_iou"] == pytest.approx(sum(ious) / 4)
    assert result["pixel_accuracy"] == pytest.approx(sum(t == p for t, p in pixels) / len(pixels))
    assert confusion[1, 2] == sum(pair == (1, 2) for pair in pixels)


def test_the_metric_of_a_training_is_the_mean_iou_of_all_its_batches(rng):
    metric = metrics.MeanIoU(5)
    confusion = np.zeros((5, 5), int)
    for labels in (rng.integers(0, 3, (2, 7, 9)), rng.integers(0, 3, (2, 4, 6))):
        labels = labels.astype(np.uint8)  # classes 3 and 4 occur in predictions alone
        labels[:, :2] = 255
        logits = rng.normal(size=(*labels.shape, 5)).astype(np.float32)
        metric.update_state(labels, logits)
        counted = labels != 255
        np.add.at(confusion, (labels[counted], logits.argmax(-1)[counted]), 1)
        expected = metrics.scores(confusion)["mean_iou"]
        assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    metric.update_state(np.full_like(labels, 255), logits)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0


@pytest.mark.parametrize("make", [metrics.PixelLoss, lambda: metrics.MeanIoU(5)])
def test_the_loss_and_the_metric_can_be_saved(make):
    made = make()
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(made))
    assert loaded.get_config() == made.get_config()


def test_the_palette_of_voc():
    # From the development kit's list of classes and colours.
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 8: (64, 0, 0)}
    known |= {15: (192, 128, 128), 16: (0, 64, 0), 20: (0, 64, 128), 255: (224, 224, 192)}
    for label, color in known.items():
        assert tuple(palettes.voc_palette()[label]) == color
    assert len(np.unique(palettes.voc_palette(), axis=0)) == 256
    assert palettes.class_names("voc", 21)[15] == "person"


def test_the_palette_of_camvid():
    palette = palettes.camvid_palette()
    names = palettes.class_names("camvid", 11)
    assert tuple(palette[names.index("car")]) == (64, 0, 128)
    assert tuple(palette[names.index("road")]) == (128, 64, 128)
    assert tuple(palette[255]) == (0, 0, 0)
    assert palettes.class_names("camvid", 3) == ["0", "1", "2"]


@pytest.mark.parametrize("width", [1, 2, 3])
def test_near_borders_keeps_the_pixels_within_a_distance(width, rng):
    label = rng.choice([0, 1, 2, 255], (9, 11), p=[0.9, 0.06, 0.02, 0.02]).astype(np.uint8)
    kept = metrics.near_borders(label, width)
    points = np.argwhere(np.ones((9, 11)))
    for row, col in points:
        others = points[[label[r, c] != label[row, col] for r, c in points]]
        near = np.hypot(*(others - [row, col]).T).min() <= width
        assert kept[row, col] == (label[row, col] if near else 255)


def test_one_label_has_no_borders():
    assert (metrics.near_borders(np.zeros((4, 5), np.uint8), 3) == 255).all()
