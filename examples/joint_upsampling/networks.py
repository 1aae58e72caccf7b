"""The networks that can be trained, and their initial weights."""

from examples.joint_upsampling.initial_weights import start_as_interpolation
from examples.training.errors import UserError
from examples.training.networks import read_network
from keras_pac.models import (
    DJIF,
    LearnedBilateralUpsample,
    PacJointUpsample,
    PacJointUpsampleLite,
)

NETWORKS = {
    network.__name__: network
    for network in (DJIF, LearnedBilateralUpsample, PacJointUpsample, PacJointUpsampleLite)
}


def make_network(name, factor, precision="float32", initial_weights="random"):
    """A network that computes in `precision`; its weights are float32 always.

    `initial_weights` is "random", "interpolation", or the path of a network of the same kind.
    """
    network = NETWORKS[name](factor, dtype=precision)
    if initial_weights == "random":
        return network
    if initial_weights == "interpolation":
        if not hasattr(network, "up_convts"):
            raise UserError(
                f"{name} cannot start as interpolation: it has no transposed layers. "
                "Use --initial-weights random"
            )
        start_as_interpolation(network)
        return network
    trained = load_network(initial_weights)
    if type(trained) is not type(network) or trained.factor != factor:
        raise UserError(
            f"{initial_weights} is a {type(trained).__name__} ×{trained.factor}, "
            f"not a {name} ×{factor}"
        )
    network.set_weights(trained.get_weights())
    return network


def load_network(path):
    """The network in a .keras file; it must have a `factor`, as those of keras_pac.models have."""
    network = read_network(path)
    if not isinstance(getattr(network, "factor", None), int):
        raise UserError(f"{path} is no joint upsampling network: it has no factor")
    return network
