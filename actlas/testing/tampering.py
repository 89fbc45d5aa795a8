"""Disturbing a store on purpose, and looking whether it stood it."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..storage import (
    Database,
    Extraction,
    Payload,
    Shard,
    read_activations,
    read_rows,
    verify,
)
from . import handmade

INT8_ERROR = 0.01


class Interrupted(Exception):
    """Stands for whatever ends a process."""


def interrupt() -> None:
    """End what is being done."""
    raise Interrupted


@contextmanager
def opened(url: str, *, create: bool = True) -> Iterator[Database]:
    """Open a store, and close it whatever happens."""
    database = Database.open(url, create=create)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def refused(kind: type[Exception]) -> Iterator[None]:
    """Require that an error of this kind is raised."""
    try:
        yield
    except kind:
        return
    raise AssertionError(f"no {kind.__name__} was raised")


def at_once(tasks: Sequence[Callable[[], Any]]) -> None:
    """Do all tasks at once, each in a thread; the first error of any is raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(tasks))

    def work(task: Callable[[], Any]) -> None:
        try:
            start.wait(10)
            task()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def put_payloads(database: Database, datas: Sequence[bytes]) -> list[int]:
    """Write payloads that nothing names and return their ids."""
    with database.write() as session:
        connection = session.connection()
        ids = list(database.backend.reserve(connection, "payloads", len(datas)))
        rows = zip(ids, datas, strict=True)
        database.backend.insert(connection, "payloads", ("id", "data"), rows)
        return ids


class _Failing:
    """A backend that is interrupted when it has written to one table so many times."""

    def __init__(self, backend: Any, table: str, times: int):
        self._backend, self._table, self._left = backend, table, times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def insert(self, connection: Any, table: str, columns: Any, rows: Any) -> None:
        """Write, then fail."""
        self._backend.insert(connection, table, columns, rows)
        self._left -= table == self._table
        if table == self._table and self._left <= 0:
            raise Interrupted(table)


@contextmanager
def failing(database: Database, table: str, after: int = 1) -> Iterator[None]:
    """Interrupt every transaction that writes to a table, from the so many-th on."""
    backend = database.backend
    database.backend = _Failing(backend, table, after)  # type: ignore[assignment]
    try:
        yield
    finally:
        database.backend = backend


@contextmanager
def broken(database: Database, payload: int, bit: int = 0) -> Iterator[None]:
    """Flip one bit of a payload for a while."""
    _flip(database, payload, bit)
    try:
        yield
    finally:
        _flip(database, payload, bit)


def _flip(database: Database, payload: int, bit: int) -> None:
    with database.write() as session:
        found = session.get_one(Payload, payload)
        data = bytearray(found.data)
        data[bit // 8 % len(data)] ^= 1 << bit % 8
        found.data = bytes(data)


def hush(database: Database, extraction: Extraction, shard: int = 0) -> None:
    """Make it long ago that the owner of a shard was heard of."""
    with database.write() as session:
        session.get_one(Shard, (extraction.id, shard)).heartbeat = 0.0


def faults(database: Database) -> list[str]:
    """What `verify` finds in a store."""
    return [str(fault) for fault in verify(database)]


def check_matrices(
    database: Database, extraction: Extraction, sites: Mapping[str, int], samples: int
) -> None:
    """Compare what is read of an extraction made by hand with the numbers it was made from."""
    wanted, found = handmade.provenance(range(samples)), read_rows(database, extraction.id)
    assert found.same_places(wanted)
    assert list(found.token) == list(wanted.token)
    for acts in read_activations(database, extraction, list(sites)):
        exact = handmade.numbers(acts.site, sites[acts.site], range(samples))
        matrix = acts.numpy()
        check_numbers(matrix, exact, extraction.dtype)
        index = np.random.default_rng(samples).permutation(len(exact))[: len(exact) // 2 + 1]
        np.testing.assert_array_equal(acts[index], matrix[index])


def check_numbers(found: NDArray[Any], exact: NDArray[np.float32], dtype: str) -> None:
    """Require that numbers are those that the storage dtype keeps of others."""
    assert found.shape == exact.shape
    if dtype == "int8":
        norms = np.linalg.norm(exact, axis=1)
        lost = np.linalg.norm(found - exact, axis=1) / norms
        assert not len(lost) or np.sqrt(np.mean(lost**2)) <= INT8_ERROR
    else:
        np.testing.assert_array_equal(found, kept(exact, dtype))


def kept(exact: NDArray[np.float32], dtype: str) -> NDArray[np.float32]:
    """What a floating-point storage dtype keeps of float32 numbers, rounded half to even."""
    if dtype == "bfloat16":
        bits = exact.view(np.uint32)
        rounded = bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
        return (rounded & np.uint32(0xFFFF0000)).view(np.float32)
    return exact.astype(dtype).astype(np.float32)
