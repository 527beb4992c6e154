"""Meters of energy: counters that are read, and an estimate that says that it is one."""
