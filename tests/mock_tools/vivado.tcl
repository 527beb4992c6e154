# Stand-ins for Vivado's commands: each is recorded, those that write files write them.
set record [open $env(MOCK_CALLS).tcl a]

proc leave {report arguments} {
  global env
  if {$env(MOCK_MODE) eq "silent"} return
  set path [lindex $arguments [expr {[lsearch $arguments -file] + 1}]]
  if {$env(MOCK_MODE) eq "garbage"} {
    set file [open $path w]
    puts $file "| nothing | of | use |"
    close $file
  } else {
    file copy -force [file join $env(MOCK_REPORTS) $report] $path
  }
}

proc touch {path} {
  file mkdir [file dirname $path]
  close [open $path w]
}

proc unknown {command args} {
  global env record board_design
  puts $record [list $command {*}$args]
  flush $record
  switch -glob -- $command {
    report_utilization { leave vivado_utilization.rpt $args }
    report_power { leave vivado_power.rpt $args }
    report_timing_summary {
      leave vivado_timing_[expr {$env(MOCK_MODE) eq "late" ? "failed" : "met"}].rpt $args
    }
    write_checkpoint { touch [lindex $args end] }
    ipx::save_core { touch ip/component.xml }
    get_property {
      if {[lindex $args 0] ne "PROGRESS"} { return "synth_design ERROR" }
      return [expr {$env(MOCK_MODE) eq "stuck" ? "0%" : "100%"}]
    }
    get_* - current_* - ipx::get_bus_interfaces - ipx::current_core { return [lindex $args 0] }
    create_bd_design { set board_design [lindex $args 0] }
    generate_target {
      touch project/$board_design.gen/sources_1/bd/$board_design/hw_handoff/$board_design.hwh
    }
    launch_runs - wait_on_run {
      if {"write_bitstream" in $args} {
        touch project/$board_design.runs/impl_1/${board_design}_wrapper.bit
      }
      if {$env(MOCK_MODE) eq "stuck"} { puts "ERROR: \[Synth 8-2716\] syntax error near ';'" }
    }
    create_project - set_* - read_* - add_files - *_design - open_run - ipx::* { return "" }
    update_compile_order - make_wrapper - *_bd_* { return "" }
    default { error "invalid command name \"$command\"" }
  }
  return ""
}

if {[catch { source [lindex $argv 0] } problem options]} {
  puts "ERROR: $problem"
  exit 1
}
