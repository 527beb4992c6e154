"""HLS C++ for vendor flows: one hls4ml extension layer for each layer of the model."""
