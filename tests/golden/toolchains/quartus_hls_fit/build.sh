#!/bin/sh
# What gateformer build --tool quartus_hls calls here, for a machine that has the tool.
set -eu
cd -- "$(dirname -- "$0")"

# Intel HLS
make tiny-fpga QUARTUS_COMPILE=--quartus-compile
