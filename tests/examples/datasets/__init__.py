"""The data sets, made small."""
