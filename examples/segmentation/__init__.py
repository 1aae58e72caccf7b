"""Semantic segmentation with PAC: `python -m examples.segmentation --help`."""
