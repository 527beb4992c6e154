#!/bin/sh
# What gateformer build --tool vitis_hls calls here, for a machine that has the tool.
set -eu
cd -- "$(dirname -- "$0")"

# Vitis HLS
if command -v vitis_hls >/dev/null 2>&1; then
  vitis_hls -f build_prj.tcl
else
  vitis-run --mode hls --tcl build_prj.tcl
fi
