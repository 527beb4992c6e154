"""Training transformer encoders in torch with Brevitas' quantizers, and their export to QONNX."""
