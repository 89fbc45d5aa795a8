"""The @loader decorator: a scheme of model specs and the function that loads them."""

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from ..core import SCHEMES, LoadedModel, PluginError

OPTIONS = ("device", "compute_dtype", "trust_remote_code")
SCHEME = re.compile(r"[a-z][a-z0-9_+-]*")


@final
@dataclass(frozen=True)
class Loader:
    """A scheme and the function that loads its models; made by `@loader`."""

    name: str
    function: Callable[..., LoadedModel]

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").split("\n")[0]

    def __call__(self, rest: str, **options: Any) -> LoadedModel:
        """Load `SCHEME:rest`; PluginError where the function returns no LoadedModel."""
        loaded = self.function(rest, **options)
        if not isinstance(loaded, LoadedModel):
            raise PluginError(
                f"loader {self.name!r} returns {type(loaded).__name__}; it must return a "
                f"LoadedModel(spec, module, feed, digest, device)"
            )
        return loaded


def loader(scheme: str) -> Callable[[Callable[..., LoadedModel]], Loader]:
    """Offer a scheme of model specs: decorates `load(rest, *, device, compute_dtype, …)`.

    The function is given what follows `SCHEME:` and, by name, device (a torch device, or auto:
    `actlas.pick_device` settles that), compute_dtype and trust_remote_code. It returns a
    `LoadedModel` whose spec begins with the scheme. Raises PluginError for a wrong signature.
    """

    def decorate(function: Callable[..., LoadedModel]) -> Loader:
        name = getattr(function, "__qualname__", repr(function))
        if not SCHEME.fullmatch(scheme) or scheme in SCHEMES:
            raise PluginError(
                f"loader {name}: scheme {scheme!r} is taken or no lower-case word; choose another"
            )
        try:
            inspect.signature(function).bind("rest", **dict.fromkeys(OPTIONS))
        except TypeError as error:
            raise PluginError(
                f"loader {name} must take (rest, *, {', '.join(OPTIONS)}): {error}"
            ) from error
        if not inspect.getdoc(function):
            raise PluginError(f"loader {name} has no docstring; say what {scheme}: loads")
        return Loader(scheme, function)

    return decorate
