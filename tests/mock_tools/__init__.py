"""Fake vendor tools: executables that record how they are called and leave reports.

The reports are written to the formats that the vendors document; no tool has made them.
"""
