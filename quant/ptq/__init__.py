"""Post-training quantization: a trained network's reals become few bits, without training."""
