# Stand-ins for Quartus' commands: each is recorded; assignments go into the settings file.
set record [open $env(MOCK_CALLS).tcl a]

proc unknown {command args} {
  global record settings
  puts $record [list $command {*}$args]
  flush $record
  switch -- $command {
    project_new {
      close [open [lindex $args 0].qpf w]
      set settings [open [lindex $args 0].qsf w]
    }
    set_global_assignment - set_instance_assignment { puts $settings [list $command {*}$args] }
    export_assignments { flush $settings }
    project_close { close $settings }
    default { error "invalid command name \"$command\"" }
  }
}

if {[catch { source [lindex $argv 0] } problem]} {
  puts "Error: $problem"
  exit 1
}
