"""Networks as a CPU or a GPU would run them: ONNX, torch and plain C from one meaning."""

from gateformer.baselines.networks import composed

REGISTERED = (composed,)
"""Modules imported for the operations that they register."""
