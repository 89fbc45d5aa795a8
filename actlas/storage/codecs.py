"""How rows become the bytes of a chunk, and bytes rows again."""

import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..core import array_bytes
from .backends import PAGE_SIZE

if TYPE_CHECKING:
    from torch import Tensor

# Twelve overflow pages of SQLite and the least it keeps in the row itself, so that no page is
# left half empty: 1,034 rows of 384 float16 numbers, 258 of 768 float32 numbers.
CHUNK_BYTES = 12 * (PAGE_SIZE - 4) + (PAGE_SIZE - 12) * 32 // 255 - 64
RAW, INT8 = "raw", "int8"
ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
ONE_THREAD = 1 << 15  # numbers that torch casts without its other threads
INT8_ERROR = 0.01  # relative; transformers' rows lose 0.006–0.009 where no dimension is massive
APART = (0, 1, 2, 4, 8, 16, 32)  # how many columns are tried to be kept apart


@dataclass(frozen=True)
class Packed:
    """The bytes of consecutive rows; squared_error: sum of squared relative errors of rows."""

    rows: int
    dtype: str
    codec: str
    data: Any
    checksum: str
    squared_error: float = 0.0


def checksum(data: Any) -> str:
    """Return the xxh3-64 of bytes, as 16 hex digits."""
    return str(xxhash.xxh3_64_hexdigest(data))


def row_bytes(codec: str, dtype: str, width: int) -> int:
    """Bytes of one row in a chunk."""
    if codec == RAW:
        return width * ITEM_BYTES[dtype]
    return 4 + width + 2 * len(_columns(codec))


def rows_a_chunk(width: int, dtype: str) -> int:
    """Rows that fit a chunk of three quarters of a MiB, at least one."""
    scale = 4 if dtype == "int8" else 0
    return max(1, CHUNK_BYTES // (width * ITEM_BYTES[dtype] + scale))


def pack(matrix: "Tensor", dtype: str) -> Iterator[Packed]:
    """Cut a matrix (rows, width) into chunks: as it is, or float32 numbers into int8."""
    step = rows_a_chunk(matrix.shape[1], dtype)
    for start in range(0, len(matrix), step):
        part = matrix[start : start + step]
        if dtype == "int8":
            yield _pack_int8(part)
        else:
            data = array_bytes(part).data.cast("B")
            yield Packed(len(part), dtype, RAW, data, checksum(data))


def _pack_int8(part: "Tensor") -> Packed:
    """Quantize rows with a scale each (absmax), at most INT8_ERROR away from what they were.

    Where a few massive dimensions would take the scale for themselves they are kept apart as
    float16 (as in LLM.int8(), Dettmers et al. 2022); where that does not help, or numbers are
    not finite, the whole chunk is float16.
    """
    import torch

    norm = torch.linalg.vector_norm(part, dim=1, keepdim=True).clamp_min(1e-30)
    order = (part.abs() / norm).amax(dim=0).argsort(descending=True)
    massive = order[: min(APART[-1], part.shape[1] // 8)]
    rest_norm = torch.linalg.vector_norm(part.index_fill(1, massive, 0.0), dim=1, keepdim=True)
    heavy = (norm > 2 * rest_norm)[:, 0]  # rows whose norm a few columns make: the others count too
    for apart in APART if bool(torch.isfinite(part).all()) else ():
        columns = order[:apart].sort().values
        rest = part.index_fill(1, columns, 0.0)
        scale = rest.abs().amax(dim=1, keepdim=True) / 127
        numbers = (rest / scale.clamp_min(1e-30)).round_().to(torch.int8)
        kept = part[:, columns].half()
        again = (numbers.float() * scale).index_copy_(1, columns, kept.float())
        lost = again - part
        squared = (lost / norm).square().sum(dim=1)
        if bool(heavy.any()):
            others = lost.index_fill_(1, massive, 0.0) / rest_norm.clamp_min(1e-30)
            squared = squared.where(~heavy, squared.maximum(others.square_().sum(dim=1)))
        if bool(squared.mean() <= INT8_ERROR**2):
            return _records(scale, numbers, kept, columns.tolist(), float(squared.sum()))
    kept = part.half()
    if bool((kept.isinf() & part.isfinite()).any()):  # beyond 65504
        kept = part
    data = array_bytes(kept).data.cast("B")
    error = ((kept.float() - part) / norm).square().nansum()
    return Packed(len(part), str(kept.dtype)[6:], RAW, data, checksum(data), float(error))


def _records(
    scale: "Tensor", numbers: "Tensor", kept: "Tensor", columns: list[int], squared_error: float
) -> Packed:
    codec = f"{INT8}+{','.join(map(str, columns))}" if columns else INT8
    records = np.empty(len(numbers), _record(codec, numbers.shape[1]))
    records["scale"] = scale[:, 0].numpy()
    records["numbers"] = numbers.numpy()
    records["apart"] = kept.numpy()
    data = records.view(np.uint8).data.cast("B")
    return Packed(len(records), INT8, codec, data, checksum(data), squared_error)


def _columns(codec: str) -> list[int]:
    return [int(c) for c in codec.partition("+")[2].split(",") if c]


def _record(codec: str, width: int) -> np.dtype[Any]:
    """The layout of a row: its scale, its numbers, the columns kept apart."""
    apart = len(_columns(codec))
    return np.dtype([("scale", "<f4"), ("numbers", "i1", (width,)), ("apart", "<f2", (apart,))])


def decode(data: Any, codec: str, dtype: str, out: NDArray[Any]) -> None:
    """Fill `out` (rows, width) from a chunk's bytes, cast to its dtype."""
    width = out.shape[1]
    if codec != RAW:
        records = np.frombuffer(data, _record(codec, width))
        np.multiply(records["numbers"], records["scale"][:, None], out=out, casting="unsafe")
        if columns := _columns(codec):
            out[:, columns] = records["apart"]
    elif dtype == "bfloat16":  # numpy has none: it is the upper half of a float32
        halves = np.frombuffer(data, np.uint16).reshape(-1, width)
        out[...] = (halves.astype(np.uint32) << 16).view(np.float32)
    elif dtype == "float16" and out.dtype == np.float32 and out.flags.c_contiguous:
        widen(np.frombuffer(data, np.float16).reshape(-1, width), out)
    else:
        out[...] = np.frombuffer(data, dtype).reshape(-1, width)


def reread(
    packed: Sequence[Packed], width: int, rows: NDArray[np.int64]
) -> tuple[NDArray[np.float32], float, bool]:
    """Decode some rows; also return the greatest error that rounding adds to a number of them.

    That is half a step of int8, in the numbers' own units. The third says whether some are
    float16: where int8 would spoil a row, and in dimensions that are kept apart.
    """
    found, step, start = np.empty((len(rows), width), np.float32), 0.0, 0
    halves = False
    for one in packed:
        here = (rows >= start) & (rows < start + one.rows)
        if here.any():
            wanted = rows[here] - start
            whole = np.empty((one.rows, width), np.float32)
            decode(one.data, one.codec, one.dtype, whole)
            found[here] = whole[wanted]
            if one.codec != RAW:
                records = np.frombuffer(one.data, _record(one.codec, width))
                step = max(step, float(records["scale"][wanted].max()) / 2)
            halves |= one.dtype == "float16" or "+" in one.codec
        start += one.rows
    return found, step, halves


def _given(halves: NDArray[np.float16]) -> "Tensor":
    """Wrap bytes in a tensor; torch warns of those that may not be written, which nobody does."""
    import torch

    if halves.flags.writeable:
        return torch.from_numpy(halves)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(halves)


def widen(halves: NDArray[np.float16], out: NDArray[np.float32]) -> None:
    """Cast float16 to float32; torch, where it is loaded anyway, does so 8 times faster."""
    torch = sys.modules.get("torch")
    if torch is None:
        out[...] = halves
        return
    # Few numbers are cast in pieces for which torch wakes no other thread.
    step = ONE_THREAD // max(1, out.shape[1]) if out.size <= 1 << 18 else len(out)
    given, taken = _given(halves), torch.from_numpy(out)
    for start in range(0, len(out), max(1, step)):
        taken[start : start + max(1, step)].copy_(given[start : start + max(1, step)])
