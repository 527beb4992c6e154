"""Side by side with da4ml and alkaid: the same weights, the same yosys, equal outputs."""
