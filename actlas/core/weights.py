"""A model's parameters as arrays."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from .errors import ModelError
from .text import nearest

if TYPE_CHECKING:
    import torch


class Weights(Mapping[str, NDArray[Any]]):
    """A model's parameters by name, read-only, as numpy arrays (bfloat16 as float32).

    rows: by parameter, a function that gives the names of its rows (tokens of embeddings).
    """

    def __init__(
        self,
        state: "Mapping[str, torch.Tensor]",
        rows: Mapping[str, Callable[[], Sequence[str]]] | None = None,
    ):
        self._state = state
        self._rows = rows or {}

    def row_names(self, name: str) -> Sequence[str] | None:
        """Return what the rows of a parameter are called, None where they have no names."""
        return self._rows[name]() if name in self._rows else None

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._state:
            raise ModelError(f"the model has no parameter {name!r}; {nearest(name, self._state)}")
        tensor = self._state[name].detach().cpu()
        if str(tensor.dtype) == "torch.bfloat16":
            tensor = tensor.float()
        try:
            array: NDArray[Any] = tensor.numpy()
        except TypeError:
            raise ModelError(
                f"{name} holds {str(tensor.dtype).removeprefix('torch.')}, codes of quantised "
                f"numbers; load the model without quantisation"
            ) from None
        array.flags.writeable = False
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._state)

    def __len__(self) -> int:
        return len(self._state)
