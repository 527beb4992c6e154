"""ONNX and QONNX files: parsing, constants, layouts, and one family of nodes a module."""
