"""What the training programs share: command lines, data, runs of `fit`, and reports."""
