"""Audits: the same data and analyses over many models, described in one TOML file."""
