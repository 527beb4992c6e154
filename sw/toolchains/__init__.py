"""Outside tools: where they are and how to call them."""
