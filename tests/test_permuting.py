"""Labels as chance deals them, in groups."""

import numpy as np

from actlas import Activations, Labels, get, permute_groups


def dealt(values, groups, draws=200):
    given = np.array(values), np.array(groups)
    return {tuple(permute_groups(*given, np.random.default_rng(i)).tolist()) for i in range(draws)}


def test_groups_of_one_label_change_places_whole():
    assert dealt([0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2]) == {
        (a, a, b, b, c, c) for a, b, c in
        ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    }  # fmt: skip


def test_rows_of_their_own_are_shuffled():
    assert len(dealt([0, 1, 2, 3], [3, 1, 2, 0], 500)) == 24


def test_a_group_of_mixed_labels_gets_those_of_another_turned_about():
    # Groups (0, 1, 1) and (2, 3): each gets the other's in order from any place, or its own.
    found = dealt([0, 1, 1, 2, 3], [5, 5, 5, 7, 7], 500)
    first = {(0, 1, 1), (1, 1, 0), (1, 0, 1)}
    own = {(*a, *b) for a in first for b in ((2, 3), (3, 2))}
    crossed = {(a, b, a, *c[:2]) for a, b in ((2, 3), (3, 2)) for c in first}
    assert found == own | crossed


def test_groups_need_not_lie_together():
    rng = np.random.default_rng(0)
    groups, values = rng.integers(0, 9, 60), rng.integers(0, 3, 60)
    constant = values[groups]  # one label a group
    out = permute_groups(constant, groups, rng)
    assert all(len(set(out[groups == g])) == 1 for g in range(9))


def test_speakers_who_say_the_same_words_in_the_same_order_do_not_make_chance_know_them():
    speakers, words = 8, 12
    codes = np.tile(np.arange(words), speakers)
    groups = np.repeat(np.arange(speakers), words)
    agree = [
        np.mean(permute_groups(codes, groups, np.random.default_rng(i)) == codes) for i in range(50)
    ]
    assert 0.02 < np.mean(agree) < 0.16  # 1/12; without turning it is 1


def test_a_probe_of_such_words_is_above_its_chance():
    rng, words = np.random.default_rng(0), 6
    codes = np.tile(np.arange(words), 10)
    X = (np.eye(words)[codes] * 4 + rng.normal(size=(60, words))).astype(np.float32)
    labels = Labels.of(codes.tolist(), groups=np.repeat(np.arange(10), words))
    found = next(iter(get("probe")(Activations.of(X), labels, permutations=4).tables["summary"]))
    assert found["balanced_accuracy"] > 0.8
    assert found["permuted"] < 0.5
