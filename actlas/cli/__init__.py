"""The command line: parse, call the API, print."""

from .main import cli, main

__all__ = ["cli", "main"]
