"""Extraction by others, each as its own documentation says: `make bench-peers`.

The contenders run in an environment that has no actlas, so only `__main__` and `run_actlas` may
import it.
"""
