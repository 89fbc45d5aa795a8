"""One step: the losses of every module on a batch. Imported with the loop: it imports torch."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import final

import torch
import xxhash
from torch import Tensor
from torch.nn.functional import cross_entropy

from .blocks import SimNetwork
from .config import SimConfig
from .draws import Draws
from .layout import by_frames
from .loss import InfoNCE, Rate, draw_span, info_nce
from .side import Start, at_once


@final
@dataclass(frozen=True)
class ModuleLoss:
    """What one module's loss is made of on a batch.

    total: what is minimised, NCE + β·KL; None of a module that is not trained.
    rate: None where there is no distribution. mean, variance: (C,) of the posterior means over
        clips and the frames scored, None of a GRU.
    """

    total: Tensor | None
    nce: Tensor
    accuracy: Tensor
    rate: Rate | None = None
    mean: Tensor | None = None
    variance: Tensor | None = None


def generator(device: str | torch.device, *parts: object) -> torch.Generator:
    """Return a generator whose numbers depend on `parts` only."""
    seed = xxhash.xxh3_64_intdigest(" ".join(map(str, parts)).encode())
    return torch.Generator(device).manual_seed(seed)


def kl_penalty(rate: Rate, config: SimConfig, frames: int) -> Tensor:
    """Return what β weighs: the KL by the configured reduction, beyond free bits or a capacity."""
    value = rate.per_vector
    if config.capacity is not None:
        value = (value - config.capacity).abs()
    elif config.free_bits:
        value = value.clamp(min=config.free_bits)
    # Published: summed over frames and meant over channels, where per_vector does the reverse.
    return value * (frames / config.channels) if config.kl_reduction == "paper_compat" else value


def local_losses(
    network: SimNetwork, wave: Tensor, beta: float, seed: Sequence[object],
    start: Start[ModuleLoss] = at_once,
) -> list[ModuleLoss]:  # fmt: skip
    """Compute the loss of each module on waveforms (B, 1, samples).

    beta: of the KL term, now. seed: what all draws depend on; the draws of a module depend on it
        and the module only. A module's input is a draw of the one before, detached.
    start: begins a module's loss, see `side_by_side`; it and its gradient may be computed in a
        thread of its own while the next module goes on with the draw.
    """
    grad, found = torch.is_grad_enabled(), []
    first = by_frames(wave)
    given: Callable[[], Tensor] = lambda: first  # noqa: E731  # what waits for a module's input
    for index in range(len(network.blocks)):
        on: Future[Tensor] = Future()
        work = partial(_module_loss, network, index, given, on.set_result, beta, seed, grad)
        found.append(start(partial(_passed_on, work, on)))
        given = on.result
    if network.context is not None:
        found.append(start(lambda: _context_loss(network, given(), seed, grad)))
    return [wait() for wait in found]


def _passed_on(work: Callable[[], ModuleLoss], on: "Future[Tensor]") -> ModuleLoss:
    """Do work; where it fails before its draw is there, who waits for that fails alike."""
    try:
        return work()
    except BaseException as error:
        if not on.done():
            on.set_exception(error)
        raise


def _module_loss(
    network: SimNetwork, index: int, given: Callable[[], Tensor], give: Callable[[Tensor], None],
    beta: float, seed: Sequence[object], grad: bool,
) -> ModuleLoss:  # fmt: skip
    """Compute the loss of one module, giving its draw on as soon as it is there."""
    config, block, x = network.config, network.blocks[index], given()
    trained = config.train_layer in (None, index)
    noise, places = _generators(x, index, seed)
    with torch.set_grad_enabled(trained and grad):  # which is of the thread
        with _precision(x, config):
            heads = block.heads(x)
        heads, mean, rate = heads.float(), heads.detach()[..., : config.channels], None
        span = draw_span(heads.shape[1], config.window, places)
        z, context = heads, heads[:, span]
        if config.gaussian:
            z, context, rate = _drawn(heads, span, noise, config)
        give((z.detach() if config.isolated else z).transpose(1, 2))
        scored = _scored(network, index, context, z, span, places)
        return _local(config, scored, mean[:, span].float(), rate, beta, z.shape[1], trained)


def _drawn(
    heads: Tensor, span: slice, noise: torch.Generator, config: SimConfig
) -> tuple[Tensor, Tensor, Rate]:
    """Draw z (B, T, C) and of its span the context, and reduce the KL; heads (B, T, 2·C)."""
    batch, frames, channels = *heads.shape[:2], config.channels
    z, context, kl = Draws.apply(  # type: ignore[no-untyped-call]  # torch has no types of it
        heads, config.logvar_clamp,
        torch.randn((batch, frames, channels), generator=noise, device=heads.device),
        torch.randn((batch, span.stop - span.start, channels), generator=noise,
                    device=heads.device),
        span.start,
    )  # fmt: skip
    return z, context, Rate(kl * channels, kl * frames)


def learned(work: Callable[[], ModuleLoss]) -> ModuleLoss:
    """Compute the loss of a module, and where gradients are recorded its own."""
    one = work()
    if one.total is not None and one.total.requires_grad:
        torch.autograd.backward(one.total)
    return one


def end_loss(network: SimNetwork, wave: Tensor, seed: Sequence[object]) -> list[ModuleLoss]:
    """Compute the one loss of CPC, of the last module's frames from their context."""
    config, z = network.config, _means(network, wave)
    if network.context is not None:
        return [_context_loss(network, z, seed, torch.is_grad_enabled())]
    _, places = _generators(wave, 0, seed)
    z = z.transpose(1, 2)
    span = draw_span(z.shape[1], config.window, places)
    scored = _scored(network, 0, z[:, span], z, span, places)
    return [_local(config, scored, z.detach()[:, span], None, 0.0, z.shape[1], True)]


def _means(network: SimNetwork, wave: Tensor) -> Tensor:
    """Return the means (B, C, T) of the last module, each reading the one before's."""
    z = by_frames(wave)
    with _precision(wave, network.config):
        for block in network.blocks:
            z = block.heads(z).transpose(1, 2)
    return z.float()


def class_loss(network: SimNetwork, wave: Tensor, labels: Tensor) -> list[ModuleLoss]:
    """Compute the cross-entropy of classes (B,), as if it were an NCE."""
    assert network.classifier is not None
    logits = network.classifier(_means(network, wave).mean(2))
    lost = cross_entropy(logits, labels)
    right = (logits.argmax(1) == labels).float().mean()
    return [ModuleLoss(lost, lost.detach(), right)]


def _generators(
    wave: Tensor, index: int, seed: Sequence[object]
) -> tuple[torch.Generator, torch.Generator]:
    return generator(wave.device, *seed, "noise", index), generator("cpu", *seed, "places", index)


def _precision(wave: Tensor, config: SimConfig) -> torch.autocast:
    return torch.autocast(
        wave.device.type, torch.bfloat16, enabled=config.dtype == "bfloat16", cache_enabled=False
    )


def _scored(
    network: SimNetwork, index: int, context: Tensor, z: Tensor, span: slice,
    places: torch.Generator,
) -> InfoNCE:  # fmt: skip
    config = network.config
    return info_nce(
        context, z, network.weight(index),
        negatives=config.negatives, span=span, mode=config.negative_mode, generator=places,
    )  # fmt: skip


def _local(
    config: SimConfig, scored: InfoNCE, mean: Tensor, rate: Rate | None, beta: float,
    frames: int, trained: bool,
) -> ModuleLoss:  # fmt: skip
    total = scored.loss
    if rate is not None:
        total = total + beta * kl_penalty(rate, config, frames)
    seen = mean.flatten(0, 1)
    middle = seen.mean(0)
    variance = (seen - middle).square_().mean(0)  # torch's own takes ten times as long
    return ModuleLoss(
        total if trained else None, scored.loss.detach(), scored.accuracy, rate, middle, variance
    )


def _context_loss(network: SimNetwork, z: Tensor, seed: Sequence[object], grad: bool) -> ModuleLoss:
    config, index = network.config, len(network.critics) - 1
    trained = config.train_layer in (None, len(network.layers))
    _, places = _generators(z, index, seed)
    assert network.context is not None
    with torch.set_grad_enabled(trained and grad):
        with _precision(z, config):
            context = network.context(z)
        span = draw_span(z.shape[2], config.window, places)
        context = context[:, span].float()
        scored = _scored(network, index, context, z.transpose(1, 2), span, places)
    return ModuleLoss(scored.loss if trained else None, scored.loss.detach(), scored.accuracy)
