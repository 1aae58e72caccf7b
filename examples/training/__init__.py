"""What the training programs share: command lines, data, the loop, checkpoints and reports."""
