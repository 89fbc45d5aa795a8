"""The model that was loaded last, kept by processes that are given one job after another."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ..core import SCHEMES, LoadedModel, split_spec

State = tuple[Any, ...]


@dataclass(frozen=True)
class _Asked:
    spec: str
    modality: str | None
    options: tuple[Any, ...]


@final
class Shelf:
    """Room for one model, used only within `keeping`."""

    def __init__(self) -> None:
        self._keeping = False
        self._held: tuple[_Asked, LoadedModel, State] | None = None

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Keep models, and give those that are kept, until the end of the block."""
        self._keeping = True
        try:
            yield
        finally:
            self._keeping = False

    def clear(self) -> None:
        """Let go of the model."""
        self._held = None

    def model(
        self,
        spec: str,
        modality: str | None,
        options: dict[str, Any],
        load: Callable[[], LoadedModel],
    ) -> LoadedModel:
        """Return the model that is kept where it is the one asked for, else load it.

        It is loaded again where its files have changed, or somebody has changed its weights. A
        model whose files are not known (of a factory, or a plugin's scheme) is not kept.
        """
        if not self._keeping or split_spec(spec)[0] not in SCHEMES[:2]:
            return load()
        asked = _Asked(spec, modality, tuple(options.values()))
        if self._held is not None:
            before, model, state = self._held
            if _fits(asked, before, model) and state == (*_files(before.spec), *_weights(model)):
                return model
            del before, model, state
        self.clear()  # two at once may be more than memory has
        files = _files(spec)
        model = load()
        self._held = asked, model, (*files, *_weights(model))
        return model


def _fits(asked: _Asked, before: _Asked, model: LoadedModel) -> bool:
    """Whether what was asked for before is asked for again, or what came of it by its own name."""
    stored = asked.spec == model.spec and asked.modality is None
    same = (asked.spec, asked.modality) == (before.spec, before.modality)
    return (stored or same) and asked.options == before.options


def _files(spec: str) -> State:
    """Names, sizes and times of a local checkpoint; snapshots of a hub do not change."""
    folder = Path(split_spec(spec)[1].rpartition("#")[0] or split_spec(spec)[1]).expanduser()
    if not folder.is_dir():
        return ()
    stats = ((path.name, path.stat()) for path in sorted(folder.iterdir()) if path.is_file())
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _weights(model: LoadedModel) -> State:
    """Which tensors a network has, and how often each was written in place."""
    held = [*model.module.parameters(), *model.module.buffers()]
    return (model.module.training, *((id(one), one._version) for one in held))


SHELF = Shelf()
