"""What the training programs share: checkpoints, logs, their command lines."""
