"""Passes, one a file: pure functions from graph to graph."""
