"""Examples: what one can do with actlas, each run by one command."""
