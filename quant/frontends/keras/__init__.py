"""Keras 2 and 3 files: archive, topology, weights, and one small reader a layer class."""
