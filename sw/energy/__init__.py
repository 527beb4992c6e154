"""Joules: meters that measure them, and models that say so."""
