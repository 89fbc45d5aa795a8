"""Two ways to learn word vectors from the same counts: PPMI with SVD, and skip-gram."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW = 5
FREQUENT = 1e-3  # words above this share of the text are thinned out, as word2vec does
SMOOTHING = 0.75  # exponent of context counts (Mikolov et al. 2013; Levy et al. 2015)
NEGATIVES = 5
BATCH = 256

Counts = Any  # a scipy.sparse.csr_array: scipy ships no types


def cooccurrences(sentences: Sequence[Sequence[str]], vocabulary: Sequence[str]) -> Counts:
    """Count how often words stand near each other: csr (words, words), symmetric.

    A pair at distance δ ≤ 5 counts (6 − δ)/5, and each word √(t/f) where its share f of the text
    is above t: what word2vec's random windows and thinning give on average. Other words are taken
    out first.
    """
    from scipy.sparse import coo_array

    number = {word: i for i, word in enumerate(vocabulary)}
    known = [[number[w] for w in sentence if w in number] for sentence in sentences]
    words = np.array([i for sentence in known for i in sentence], np.int64)
    where = np.repeat(np.arange(len(known)), [len(sentence) for sentence in known])
    size = len(vocabulary)
    share = np.bincount(words, minlength=size) / len(words)
    kept = np.sqrt(FREQUENT / share.clip(min=FREQUENT))
    total = coo_array((size, size), dtype=np.float64).tocsr()
    for distance in range(1, WINDOW + 1):
        near = where[distance:] == where[:-distance]
        left, right = words[:-distance][near], words[distance:][near]
        weight = kept[left] * kept[right] * (WINDOW + 1 - distance) / WINDOW
        found = coo_array((weight, (left, right)), shape=(size, size)).tocsr()
        total = total + found + found.T
    return total


def ppmi_svd(counts: Counts, dims: int, seed: int = 0) -> NDArray[np.float32]:
    """Vectors (words, dims): U √Σ of the positive pointwise mutual information.

    Levy, Goldberg & Dagan 2015, with context counts to the power 0.75.
    """
    from scipy.sparse import coo_array
    from sklearn.utils.extmath import randomized_svd

    pairs = counts.tocoo()
    rows, columns = pairs.coords
    words, contexts = counts.sum(axis=1), counts.sum(axis=0) ** SMOOTHING
    chance = words[rows] * (contexts / contexts.sum())[columns]
    found = np.log(pairs.data / chance)
    ppmi = coo_array((found.clip(min=0), (rows, columns)), shape=counts.shape).tocsr()
    U, singular, _ = randomized_svd(ppmi, dims, n_iter=7, random_state=seed)
    vectors: NDArray[np.float32] = (U * np.sqrt(singular)).astype(np.float32)
    return vectors


def skip_gram(
    counts: Counts, dims: int, seed: int = 0, epochs: int = 40, rate: float = 0.03
) -> NDArray[np.float32]:
    """Vectors (words, dims) by skip-gram with five negative samples a pair.

    What is maximised is the average of word2vec's objective over its draws (Levy & Goldberg 2014,
    equations 4–6): Σ n(w,c) log σ(w·c) + 5 n(w) P(c) log σ(−w·c), by Adam on 256 words at a time.
    So nothing is sampled, and the seed alone decides where it starts and in which order words come.
    """
    import torch

    size = counts.shape[0]
    chance = torch.Generator().manual_seed(seed)
    words = (torch.rand((size, dims), generator=chance) - 0.5) / dims
    contexts = (torch.rand((size, dims), generator=chance) - 0.5) / dims
    often = counts.sum(axis=0) ** SMOOTHING
    noise = torch.from_numpy(NEGATIVES * often / often.sum()).float()
    optimiser = torch.optim.Adam([words, contexts], lr=rate)
    steps = epochs * -(-size // BATCH)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, steps)
    for _ in range(epochs):
        order = torch.randperm(size, generator=chance)
        for start in range(0, size, BATCH):
            picked = order[start : start + BATCH]
            seen = torch.from_numpy(counts[picked.numpy()].toarray()).float()
            part = words[picked]
            surprise = seen - (seen + seen.sum(dim=1, keepdim=True) * noise) * torch.sigmoid(
                part @ contexts.T
            )  # derivative of the objective by w·c  (batch, words)
            words.grad = torch.zeros_like(words)
            words.grad[picked] = -surprise @ contexts
            contexts.grad = -surprise.T @ part
            optimiser.step()
            falling.step()
    vectors: NDArray[np.float32] = words.numpy()
    return vectors


def mapped(vectors: NDArray[np.float32], seed: int = 0) -> NDArray[np.float32]:
    """Vectors under a random linear map that is far from a rotation: X U Σ Vᵀ.

    U, V are random rotations, Σ runs from 1 to 100: distances are destroyed, and with them the
    principal axes; independent axes should not mind. (The paper's own random map, section 4.3, is
    worse conditioned than float32 can carry.)
    """
    rng = np.random.default_rng(seed)
    d = vectors.shape[1]
    U, V = (np.linalg.qr(rng.standard_normal((d, d)))[0] for _ in range(2))
    moved = (vectors.astype(np.float64) @ (U * np.geomspace(1, 100, d))) @ V.T
    found: NDArray[np.float32] = (moved / moved.std()).astype(np.float32)
    return found
