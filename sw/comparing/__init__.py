"""One network or decoder on FPGA, PIM, CPU and GPU: rows side by side, each with its kind."""
