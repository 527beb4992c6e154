"""Data sets on which the shipped designs are trained and checked."""
