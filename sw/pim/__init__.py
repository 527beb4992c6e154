"""What people see of a simulated memory: tables, plots, the page, traces, sweeps, comparisons."""
