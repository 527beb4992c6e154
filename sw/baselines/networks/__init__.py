"""Networks as a CPU or a GPU would run them: ONNX, torch and plain C from one meaning."""
