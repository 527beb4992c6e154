#!/bin/sh
# What gateformer build --tool vivado calls here, for a machine that has the tool.
set -eu
cd -- "$(dirname -- "$0")"

# Vivado
vivado -mode batch -notrace -nojournal -nolog -source build.tcl
