"""Telling the user how far a long analysis is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def tell(text: str) -> None:
    """Say in a few words how far an analysis is ("pass 12, limit 0.03").

    Whoever runs it shows the last thing said, or nothing; it is not kept. It costs next to nothing.
    """
    listener = _listener.get()
    if listener is not None:
        listener(text)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hear what analyses tell within."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
