"""Verilog: the library, the emitter and the independent reader."""
