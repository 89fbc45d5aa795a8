"""`python -m actlas` is the command line."""

from .cli import main

main()
