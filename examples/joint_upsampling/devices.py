"""The devices that a training runs on, as a `tf.distribute` strategy."""

import keras
import tensorflow as tf

from examples.training.errors import UserError


def make_strategy(devices, workers):
    """One device, several of this machine, or those of every machine in TF_CONFIG."""
    if keras.backend.backend() != "tensorflow" and (workers or devices > 1):
        raise UserError("--devices and --workers need Keras's TensorFlow backend")
    if workers:
        return Workers()
    if devices == 1:
        return tf.distribute.get_strategy()
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU":  # several devices on one processor: no faster, but the same program
        processor = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(processor, parts)
    names = [device.name for device in tf.config.list_logical_devices(kind)][:devices]
    if len(names) < devices:
        raise UserError(f"--devices {devices}: there are {len(names)} {kind}s")
    return tf.distribute.MirroredStrategy(names)


class Workers(tf.distribute.MultiWorkerMirroredStrategy):
    """TensorFlow's strategy, with what `fit` asks of it: to reduce whole batches, and scalars."""

    def reduce(self, reduce_op, value, axis=None):
        def reduce_one(value):
            rank = self.experimental_local_results(value)[0].shape.rank
            return super(Workers, self).reduce(reduce_op, value, axis if rank else None)

        return tf.nest.map_structure(reduce_one, value)


def is_chief(strategy):
    """Whether this process is the one of several that writes files."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type == "chief":
        return True
    return not resolver.task_id and "chief" not in resolver.cluster_spec().jobs
