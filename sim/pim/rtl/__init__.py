"""The memory's Verilog in a simulator: programs in, commands and numbers out."""
