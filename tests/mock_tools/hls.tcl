# Stand-ins for the commands of Vitis HLS and Vivado HLS: each is recorded.
set record [open $env(MOCK_CALLS).tcl a]
set tool [lindex $argv 1]

proc unknown {command args} {
  global env record tool project top
  puts $record [list $command {*}$args]
  flush $record
  switch -- $command {
    open_project { set project [lindex $args end] }
    set_top { set top [lindex $args 0] }
    csynth_design {
      set folder $project/solution1/syn
      file mkdir $folder/report $folder/verilog
      close [open $folder/verilog/$top.v w]
      set path $folder/report/${top}_csynth.xml
      switch -- $env(MOCK_MODE) {
        silent { return }
        garbage {
          set file [open $path w]
          puts $file "<profile><UserAssignments>"
          close $file
        }
        default {
          set late [expr {$env(MOCK_MODE) eq "late" || $tool eq "vivado_hls"}]
          set report [expr {$late ? "vivado_hls_csynth.xml" : "vitis_csynth.xml"}]
          file copy -force [file join $env(MOCK_REPORTS) $report] $path
        }
      }
    }
    export_design {
      file mkdir $project/solution1/impl
      close [open $project/solution1/impl/export.zip w]
    }
    add_files - open_solution - config_array_partition - config_compile - set_part -
    config_schedule - create_clock - set_clock_uncertainty { }
    default { error "invalid command name \"$command\"" }
  }
}

set script [lindex $argv 0]
set argv [lrange $argv 2 end]
if {[catch { source $script } problem]} {
  puts "ERROR: $problem"
  exit 1
}
