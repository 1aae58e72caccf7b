"""The segmentation program, on drawn images that stand in for a data set."""
