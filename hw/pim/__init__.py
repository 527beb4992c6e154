"""Processing in memory: instructions, devices, how a decoder is laid out and compiled."""
