project_new tiny -overwrite
set_global_assignment -name FAMILY "Arria 10"
set_global_assignment -name DEVICE 10AX115N2F40E2LG
set_global_assignment -name TOP_LEVEL_ENTITY gf_tiny
set_global_assignment -name VERILOG_FILE rtl/gf_delay.v
set_global_assignment -name VERILOG_FILE rtl/gf_tiny.v
set_global_assignment -name SDC_FILE clock.sdc
source settings.tcl
