"""The thread that writes windows beside an accelerator; on a CPU they are written directly."""

import threading

import pytest

from actlas.api.extracting import BackgroundWriter


def put_all(write, windows):
    with BackgroundWriter(write) as writer:
        for window in windows:
            writer.put(window)


def test_windows_are_written_in_order_and_all_before_it_ends():
    written = []
    put_all(written.append, range(20))
    assert written == list(range(20))
    assert "actlas-writer" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("at", [0, 3, 9])
def test_its_error_reaches_the_caller_and_nothing_is_written_after_it(at):
    written = []

    def write(number):
        if number == at:
            raise OSError("no more ink")
        written.append(number)

    with pytest.raises(OSError, match="no more ink"):
        put_all(write, range(10))
    assert written == list(range(at))
    assert "actlas-writer" not in [thread.name for thread in threading.enumerate()]
