#!/bin/sh
# What gateformer build --tool vivado_hls calls here, for a machine that has the tool.
set -eu
cd -- "$(dirname -- "$0")"

# Vivado HLS
vivado_hls -f build_prj.tcl 'reset=1 csim=0 synth=1 cosim=0 validation=0 export=1 vsynth=0 fifo_opt=0'
