"""The same models on a GPU: eager, captured as CUDA graphs, compiled, in fewer bits."""
