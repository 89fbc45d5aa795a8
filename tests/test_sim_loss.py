"""InfoNCE and KL against explicit loops and closed forms."""

from math import exp, log

import pytest
import torch

from actlas import InputError
from actlas.plugins.sim import recipe
from actlas.plugins.sim.draws import Draws
from actlas.plugins.sim.loss import draw_span, info_nce, kl_rate, kl_terms
from actlas.plugins.sim.steps import kl_penalty


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def spied(monkeypatch):
    """Keep what the loss draws as negatives."""
    from actlas.plugins.sim import loss

    drawn, own = [], loss._negatives

    def keep(*args):
        drawn.append(own(*args))
        return drawn[-1]

    monkeypatch.setattr(loss, "_negatives", keep)
    return drawn


@pytest.mark.parametrize("mode", ["shared", "per_step", "sequence"])
def test_the_loss_is_that_of_plain_loops(monkeypatch, mode):
    drawn = spied(monkeypatch)
    B, T, C, D, K, N = 3, 9, 4, 5, 3, 6
    span = slice(2, 8)
    context = torch.randn(B, 6, D, generator=seeded(), dtype=torch.float64)
    target = torch.randn(B, T, C, generator=seeded(1), dtype=torch.float64)
    weight = torch.randn(K * C, D, generator=seeded(2), dtype=torch.float64)
    found = info_nce(context, target, weight, negatives=N, span=span, mode=mode)
    places = drawn[0]
    rows = target.reshape(B * T, C)
    by_step, accuracy = [], []
    for k in range(1, K + 1):
        W = weight[(k - 1) * C : k * C]
        lost, won = [], []
        for b in range(B):
            for t in range(6 - k):
                predicted = W @ context[b, t]
                positive = float(target[b, span.start + t + k] @ predicted)
                own = places[b * 6 + t] if mode != "per_step" else places[b * 6 + t, k - 1]
                against = [float(rows[j] @ predicted) for j in own]
                assert len(against) == N
                total = exp(positive) + sum(map(exp, against))
                lost.append(-log(exp(positive) / total))
                here = b * T + span.start + t + k
                ties = own.tolist().count(here)  # it is its own negative
                others = [s for s, j in zip(against, own.tolist(), strict=True) if j != here]
                won.append((positive > max(others)) / (1 + ties))
                if mode == "per_step":
                    assert not ties
                if mode == "sequence":
                    assert {int(j) // T for j in own} == {b}
        assert len(lost) == B * (6 - k)
        by_step.append(sum(lost) / len(lost))
        accuracy.append(sum(won) / len(won))
    assert found.by_step.tolist() == pytest.approx(by_step)
    assert float(found.loss) == pytest.approx(sum(by_step) / K)
    assert found.bound == pytest.approx(log(N + 1) - sum(by_step) / K)
    assert float(found.accuracy) == pytest.approx(sum(accuracy) / K)


def test_shared_negatives_are_permutations_of_all_frames(monkeypatch):
    drawn = spied(monkeypatch)
    z = torch.randn(4, 8, 2, generator=seeded())
    info_nce(z, z, torch.randn(4, 2, generator=seeded()), negatives=7, generator=seeded(3))
    assert drawn[0].shape == (32, 7)
    assert all(sorted(column.tolist()) == list(range(32)) for column in drawn[0].T)
    info_nce(z, z, torch.randn(4, 2, generator=seeded()), negatives=7, generator=seeded(3))
    assert torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("mode", ["shared", "per_step", "sequence"])
@pytest.mark.parametrize("n", [1, 10])
def test_a_critic_that_says_nothing_is_at_chance(mode, n):
    z = torch.randn(4, 20, 3, generator=seeded())
    found = info_nce(z, z, torch.zeros(6, 3), negatives=n, mode=mode)
    assert float(found.loss) == pytest.approx(log(n + 1), abs=1e-6)
    assert float(found.accuracy) == pytest.approx(1 / (n + 1))


def optimal(rho, d, n, clips=10_000):
    """The bound of the optimal critic on correlated Gaussians, whose MI is known, and its SE."""
    draws = seeded(1)
    x = torch.randn(clips, d, generator=draws)
    y = rho * x + (1 - rho**2) ** 0.5 * torch.randn(clips, d, generator=draws)
    # log p(y|x)/p(y) of each dimension is a (x y) + b (x² + y²): products of features.
    a, b = rho / (1 - rho**2), -(rho**2) / (2 * (1 - rho**2))
    one = torch.ones(clips, 1)
    c = torch.cat([a * x, b * x.square().sum(1, keepdim=True), one], 1)
    z = torch.cat([y, one, b * y.square().sum(1, keepdim=True)], 1)
    frames = torch.stack([torch.zeros_like(z), z], 1)
    contexts = torch.stack([c, torch.zeros_like(c)], 1)
    # The frames of zeros would be negatives, too; so each clip's first frame is another's second.
    frames[:, 0] = z.roll(1, 0)
    found = info_nce(contexts, frames, torch.eye(d + 2), negatives=n, mode="per_step",
                     generator=draws)  # fmt: skip
    return found.bound


@pytest.mark.parametrize(("n", "wanted"), [(1, 0.230), (10, 0.495), (100, 0.572)])
def test_the_bound_of_an_optimal_critic_is_that_of_correlated_gaussians(n, wanted):
    assert optimal(0.5, 4, n, 10_000 if n < 100 else 4_000) == pytest.approx(wanted, abs=0.03)


def test_the_bound_saturates_at_its_cap():
    information = -0.5 * 8 * log(1 - 0.99**2)
    assert information > 15
    assert log(11) - 0.02 < optimal(0.99, 8, 10, 2_000) <= log(11)


def test_kl_of_posteriors_in_both_reductions():
    mu, logvar = torch.randn(2, 3, 4, generator=seeded()), torch.randn(2, 3, 4) / 2
    terms = [
        -0.5 * (1 + float(v) - float(m) ** 2 - exp(float(v)))
        for m, v in zip(mu.flatten(), logvar.flatten(), strict=True)
    ]
    assert kl_terms(mu, logvar).flatten().tolist() == pytest.approx(terms, rel=1e-4)
    rate = kl_rate(mu, logvar)
    assert float(rate.per_vector) == pytest.approx(sum(terms) / (2 * 4))  # of 3 channels
    assert float(rate.paper_compat) == pytest.approx(sum(terms) / (2 * 3))  # of 4 frames
    assert float(kl_rate(mu * 0, logvar * 0).per_vector) == 0
    assert float(kl_terms(torch.ones(1), torch.zeros(1))) == 0.5


@pytest.mark.parametrize(("changes", "wanted"), [
    ({}, 6.0), ({"kl_reduction": "paper_compat"}, 24.0), ({"free_bits": 5.0}, 6.0),
    ({"free_bits": 7.5}, 7.5), ({"capacity": 10.0}, 4.0),
    ({"capacity": 10.0, "kl_reduction": "paper_compat"}, 16.0),
])  # fmt: skip
def test_what_beta_weighs(changes, wanted):
    mu = torch.full((2, 3, 12), 2.0)  # KL 2 an element
    rate = kl_rate(mu, torch.zeros(2, 3, 12))
    assert float(kl_penalty(rate, recipe("sim", channels=3, **changes), 12)) == pytest.approx(
        wanted
    )


def test_a_window_begins_anywhere_and_fits():
    spans = {draw_span(10, 7, seeded(i)).start for i in range(60)}
    assert spans == {0, 1, 2, 3}
    assert draw_span(5, 7) == slice(0, 5)


@pytest.mark.parametrize(("context", "target", "weight", "said"), [
    ((2, 5, 3), (2, 5, 4), (10, 3), r"weight is \(10, 3\); it is \(K·4, 3\)"),
    ((2, 5, 3), (2, 5, 4), (8, 4), r"it is \(K·4, 3\)"),
    ((3, 5, 3), (2, 5, 4), (8, 3), "is not of target"),
    ((2, 5, 3), (2, 5, 4), (20, 3), "too few to predict 5 ahead"),
    ((1, 4, 3), (1, 4, 4), (8, 3), "1 × 4 frames are too few .* among 10 negatives"),
])  # fmt: skip
def test_shapes_that_do_not_fit_are_refused(context, target, weight, said):
    with pytest.raises(InputError, match=said):
        info_nce(torch.zeros(context), torch.zeros(target), torch.zeros(weight))


@pytest.mark.parametrize("mode", ["shared", "per_step"])
def test_the_gradient_written_by_hand_is_that_of_differences(mode):
    context, target, weight = (
        torch.randn(*shape, generator=seeded(i), dtype=torch.float64, requires_grad=True)
        for i, shape in enumerate([(2, 5, 3), (2, 7, 4), (8, 3)])
    )

    def by_step(*given):
        found = info_nce(
            *given, negatives=4, span=slice(1, 6), mode=mode, generator=seeded(3)
        )  # fmt: skip
        return found.by_step

    assert torch.autograd.gradcheck(by_step, (context, target, weight))


def test_draws_and_their_gradient_are_those_of_autograd():
    made = [torch.randn(*shape, generator=seeded(i), dtype=torch.float64)
            for i, shape in enumerate([(2, 5, 6), (2, 5, 3), (2, 2, 3)])]  # fmt: skip
    heads, noise, again = made
    heads.mul_(1.5).requires_grad_()
    mu, logvar = heads[..., :3], heads[..., 3:].clamp(-2, 2)
    assert 0 < int((heads[..., 3:].abs() > 2).sum()) < 15
    std = (logvar / 2).exp()
    plain = mu + std * noise, mu[:, 1:3] + std[:, 1:3] * again, kl_terms(mu, logvar).mean()
    found = Draws.apply(heads, 2.0, noise, again, 1)

    def gradient(draws):
        z, c, kl = draws
        total = (z * noise).sum() + (c.square() * again).sum() + 7 * kl
        return torch.autograd.grad(total, heads)[0]

    for own, other in zip(found, plain, strict=True):
        torch.testing.assert_close(own, other)
    torch.testing.assert_close(gradient(found), gradient(plain))
