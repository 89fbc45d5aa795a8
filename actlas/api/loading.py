"""Loading a model by its spec, schemes of plugins included."""

from collections.abc import Sequence
from typing import Any

from ..core import SCHEMES, LoadedModel, split_spec, unknown_scheme
from ..core import load_model as load_own
from ..core.datasets import Modality
from ..registry import registry
from .kept import SHELF


def load_model(
    spec: str,
    *,
    device: str = "auto",
    compute_dtype: str = "float32",
    trust_remote_code: bool = False,
    modality: Modality | None = None,
    plugins: Sequence[str] = (),
) -> LoadedModel:
    """Load a model by its spec.

    spec: `hf:NAME-OR-PATH[@REVISION]` (hf: may be left out), `actlas:demo`,
        `torch:package.module:factory`, or `SCHEME:REST` of a plugin. `#image`, `#text` or
        `#audio` at the end of an hf: spec chooses the tower of a network with several (CLIP).
    device: auto (cuda, mps or cpu, the first there is), or a torch device.
    compute_dtype: float32, bfloat16, float16, or auto for the checkpoint's own.
    trust_remote_code: run Python code that comes with the checkpoint. Off: it is refused.
    modality: what the data are (text, image or audio): chooses the tower where the spec does not.
    plugins: Python files with further loaders.

    Raises ModelError naming what is wrong and what to do: no such model, no weights, weights
    only as a pickle, weights missing from the checkpoint, a scheme that nobody offers.
    """
    scheme, rest = split_spec(spec)
    options: dict[str, Any] = {
        "device": device, "compute_dtype": compute_dtype, "trust_remote_code": trust_remote_code,
    }  # fmt: skip
    if scheme in SCHEMES:
        return SHELF.model(
            spec, modality, options, lambda: load_own(spec, modality=modality, **options)
        )
    known = registry(tuple(plugins))
    if scheme not in known.loader_names:
        raise unknown_scheme(spec, [*SCHEMES, *known.loader_names])
    return known.loader(scheme)(rest, **options)
