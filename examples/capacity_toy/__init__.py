"""Toy models of superposition: what training finds, beside what theory says."""
