"""The layers: as Keras layers, saved, exported."""
