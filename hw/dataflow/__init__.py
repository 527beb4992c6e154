"""From a typed graph to scheduled pipeline stages."""
