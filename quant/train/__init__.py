"""Quantization-aware training of the shipped designs."""
