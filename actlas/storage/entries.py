"""The bytes of an index of extremes: of each entry its number and its row, as short as they go."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.tops import ENTRY

HALVES = ("float16", "bfloat16")


def pack_entries(entries: NDArray[Any], rows: int) -> tuple[str, bytes]:
    """Return the codec and bytes of entries whose row numbers are below `rows`.

    The codec says NUMBER+BYTES: numbers are float16 or bfloat16 where those hold all of them,
    else float32; row numbers have as many bytes as the highest needs.
    """
    values = np.ascontiguousarray(entries["value"])
    dtype = next((name for name in HALVES if _holds(name, values)), "float32")
    size = max(1, (max(rows - 1, 0).bit_length() + 7) // 8)
    codec = f"{dtype}+{size}"
    records = np.empty(entries.shape, _record(codec))
    records["value"] = _narrow(dtype, values)
    numbers = np.ascontiguousarray(entries["row"])[..., None].view(np.uint8)
    records["row"] = numbers[..., :size]
    return codec, records.tobytes()


def unpack_entries(data: Any, codec: str) -> NDArray[Any]:
    """Return the entries in bytes, one after another."""
    records = np.frombuffer(data, _record(codec))
    found = np.zeros(len(records), ENTRY)
    found["value"] = _widen(codec.partition("+")[0], records["value"])
    rows = np.zeros((len(records), 4), np.uint8)
    rows[:, : records["row"].shape[1]] = records["row"]
    found["row"] = rows.view("<u4")[:, 0]
    return found


def entry_bytes(codec: str) -> int:
    """Bytes of one entry; ValueError for a codec that is not known."""
    return _record(codec).itemsize


def _record(codec: str) -> np.dtype[Any]:
    dtype, _, size = codec.partition("+")
    if dtype not in (*HALVES, "float32") or size not in ("1", "2", "3", "4"):
        raise ValueError(f"codec {codec!r} is unknown")
    number = {"float16": "<f2", "bfloat16": "<u2", "float32": "<f4"}[dtype]
    return np.dtype([("value", number), ("row", "u1", (int(size),))])


def _narrow(dtype: str, values: NDArray[np.float32]) -> NDArray[Any]:
    """Cast numbers; bfloat16, which numpy has not, is the upper half of a float32."""
    if dtype == "bfloat16":
        return (values.view(np.uint32) >> 16).astype(np.uint16)
    with np.errstate(over="ignore"):
        return values.astype(dtype)


def _widen(dtype: str, numbers: NDArray[Any]) -> NDArray[np.float32]:
    if dtype == "bfloat16":
        return (numbers.astype(np.uint32) << 16).view(np.float32)
    return numbers.astype(np.float32)


def _holds(dtype: str, values: NDArray[np.float32]) -> bool:
    """Whether all numbers are the same in a dtype of two bytes."""
    return np.array_equal(_widen(dtype, _narrow(dtype, values)), values)
