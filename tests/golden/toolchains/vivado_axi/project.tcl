# Auto-generated project tcl file
create_project tiny -force
set_property part xczu9eg-ffvb1156-2-e [current_project]
read_verilog {rtl/gf_delay.v}
read_verilog {rtl/gf_tiny.v}
read_verilog {rtl/gf_tiny_axis.v}
read_xdc {clock.xdc}
set_property include_dirs [list .] [get_filesets sources_1]
set_property top gf_tiny_axis [current_fileset]
set_property source_mgmt_mode None [current_project]
