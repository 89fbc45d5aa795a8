"""Benchmarks: every bar as a ratio from one run on this machine. `make bench` runs them all."""
