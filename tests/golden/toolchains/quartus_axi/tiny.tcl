project_new tiny -overwrite
set_global_assignment -name FAMILY "Cyclone V"
set_global_assignment -name DEVICE 5CSEMA5F31C6
set_global_assignment -name TOP_LEVEL_ENTITY gf_tiny_axis
set_global_assignment -name VERILOG_FILE rtl/gf_delay.v
set_global_assignment -name VERILOG_FILE rtl/gf_tiny.v
set_global_assignment -name VERILOG_FILE rtl/gf_tiny_axis.v
set_global_assignment -name SDC_FILE clock.sdc
source settings.tcl
