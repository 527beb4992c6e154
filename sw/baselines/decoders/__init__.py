"""GPT decoders in runtimes: one step at a given context, with a real KV cache."""
