"""The networks that the segmentation program makes and loads."""

import keras
import numpy as np
import pytest

from examples.segmentation import networks
from examples.training.errors import UserError
from keras_pac.models import FCN8s, PacJointUpsampleLite, fcn8s


@pytest.mark.parametrize("name", ["small", "coarse"])
@pytest.mark.parametrize("size", [(1, 1), (37, 50)])
def test_the_small_networks_take_any_size(name, size):
    network = networks.make_network(name, 7, "same", None)
    assert network(np.zeros((1, *size, 3), np.float32)).shape == (1, *size, 7)
    assert 300_000 < network.count_params() < 900_000


def test_the_coarse_network_has_logits_at_an_eighth(rng):
    network = networks.make_network("coarse", 5, "same", None)
    score = keras.Model(network.input, network.get_layer("score").output)
    image = rng.uniform(0, 255, (1, 64, 48, 3)).astype(np.float32)
    assert score(image).shape == (1, 8, 6, 5)
    enlarged = keras.ops.image.resize(score(image), (64, 48))
    np.testing.assert_allclose(network(image), enlarged, atol=1e-5)


def test_fcn8s_takes_the_images_that_the_small_network_takes(monkeypatch, tmp_path, rng):
    monkeypatch.setattr(fcn8s, "BLOCKS", tuple((count, 4) for count, _ in fcn8s.BLOCKS))
    monkeypatch.setattr(fcn8s, "FC_FILTERS", 6)
    network = networks.make_network("FCN8s", 5, "same", None)
    network.set_weights([rng.normal(0, 0.3, w.shape) for w in network.get_weights()])
    network.save(tmp_path / "fcn8s.keras")
    image = rng.integers(0, 256, (1, 35, 44, 3)).astype(np.float32)
    result = networks.load_network(tmp_path / "fcn8s.keras")(image).numpy()
    plain = FCN8s(5, padding="same")
    plain.set_weights(network.get_weights())
    expected = plain(keras.applications.vgg16.preprocess_input(image.copy())).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5 * np.abs(expected).max())
    swapped = networks.swap(network, ["conv3_3"], "conv2_2", 1e-4)(image).numpy()
    np.testing.assert_allclose(swapped, expected, atol=1e-3 * np.abs(expected).max())


def test_weights_of_vgg16_that_cannot_be_read(tmp_path):
    (tmp_path / "broken.h5").write_bytes(b"no weights")
    with pytest.raises(UserError, match="--weights .*broken.h5 cannot be read"):
        networks.make_network("FCN8s", 5, "same", str(tmp_path / "broken.h5"))


def test_the_networks_need_logits_of_an_rgb_image(tmp_path):
    keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)]).save(tmp_path / "dense.keras")
    (tmp_path / "broken.keras").write_bytes((tmp_path / "dense.keras").read_bytes()[:3000])
    with pytest.raises(UserError, match="dense.keras is no segmentation network"):
        networks.load_network(tmp_path / "dense.keras")
    PacJointUpsampleLite(4).save(tmp_path / "other.keras")
    with pytest.raises(UserError, match="other.keras is no segmentation network"):
        networks.load_network(tmp_path / "other.keras")
    image = keras.Input((None, None, 3))
    keras.Model(image, keras.layers.Conv2D(1, 1)(image)).save(tmp_path / "one.keras")
    with pytest.raises(UserError, match="one.keras is no segmentation .* 2 classes or more"):
        networks.load_network(tmp_path / "one.keras")
    with pytest.raises(UserError, match="broken.keras is no trained network"):
        networks.load_network(tmp_path / "broken.keras")


def test_crf_names_and_json():
    assert len(networks.pairwise_kernels("two")) == 2
    assert networks.pairwise_kernels('{"blur": 2}') == {"blur": 2}
    with pytest.raises(UserError, match="one of potts, 2d, 4d, two, or .* Received: best"):
        networks.pairwise_kernels("best")
