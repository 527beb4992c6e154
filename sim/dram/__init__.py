"""The memory: its commands in order of time, their log, and their rules."""
