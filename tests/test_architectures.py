"""The residual stream at layers.i is the block's own output, bit for bit, on every architecture."""

import pytest
import torch

from .tiny import ARCHITECTURES, DECODERS, ENCODER_DECODERS, TEXTS


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_sites_exist(tiny, kind):
    model = tiny(kind)
    print(list(model.sites))
    assert model.sites
