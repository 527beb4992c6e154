"""Studies: accuracy, bits and techniques beside LUTs, DSPs and cycles, from one file."""
