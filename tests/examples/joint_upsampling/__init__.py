"""The joint upsampling program, on drawn scenes that stand in for a data set."""
