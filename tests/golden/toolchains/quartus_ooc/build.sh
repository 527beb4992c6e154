#!/bin/sh
# What gateformer build --tool quartus calls here, for a machine that has the tool.
set -eu
cd -- "$(dirname -- "$0")"

# Quartus project
quartus_sh -t tiny.tcl

# Quartus
quartus_sh --flow compile tiny
