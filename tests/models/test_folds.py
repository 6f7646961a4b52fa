"""Folds: balanced by arm and outcome; groups are not divided if that is possible."""

import numpy as np
import pandas as pd
import pytest

from treatsel._stats.folds import balanced_folds, folds_by_key
from treatsel.errors import InputError, TreatselWarning


def cohort(n=203, seed=0):
    rng = np.random.default_rng(seed)
    return pd.Series(rng.choice(["A", "B", "C"], n, p=[0.6, 0.3, 0.1])), (rng.random(n) < 0.3).astype(float)


def fold_of(folds, n):
    found = np.full(n, -1)
    for number, (rest, fold) in enumerate(folds):
        assert (found[fold] == -1).all()
        assert np.array_equal(np.sort(np.concatenate([rest, fold])), np.arange(n))
        found[fold] = number
    assert (found >= 0).all()
    return found


def test_each_fold_has_its_share_of_every_arm_and_outcome():
    received, y = cohort()
    fold = fold_of(balanced_folds(received, y, random_state=0), len(y))
    shares = pd.crosstab(fold, [received, y])
    assert len(shares) == 5
    assert (shares.max() - shares.min()).max() <= 1


def test_two_events_of_an_arm_lie_in_two_folds():
    received, y = pd.Series(["A"] * 30 + ["B"] * 30), np.zeros(60)
    y[[1, 2, 40, 41]] = 1
    for seed in range(20):
        fold = fold_of(balanced_folds(received, y, random_state=seed), 60)
        assert fold[1] != fold[2]
        assert fold[40] != fold[41]


def test_groups_are_not_divided_and_folds_stay_near_equal():
    received, y = cohort(600)
    groups = pd.Series(np.random.default_rng(1).integers(0, 23, 600))
    fold = fold_of(balanced_folds(received, y, groups=groups, random_state=0), 600)
    assert pd.Series(fold).groupby(groups).nunique().max() == 1
    sizes = np.bincount(fold)
    assert len(sizes) == 5
    assert sizes.max() < 1.3 * sizes.min()


def test_fewer_groups_give_fewer_folds():
    received, y = cohort()
    groups = pd.Series(np.where(np.arange(len(y)) % 2, "s1", "s2"))
    assert len(balanced_folds(received, y, groups=groups, random_state=0)) == 2
    assert len(balanced_folds(received, y, groups=pd.Series("s1", index=received.index))) == 5


@pytest.mark.parametrize("which", ["arm", "events"])
def test_groups_are_divided_with_a_warning_where_a_fold_would_hold_all_of_an_arm(which):
    received, y = cohort()
    groups = pd.Series(np.where(np.arange(len(y)) % 2, "s1", "s2"))
    if which == "arm":
        received = received.mask((received == "C") & (groups == "s2"), "A")
    else:
        y = np.where((received == "B") & (groups == "s1"), 0.0, y)
    with pytest.warns(TreatselWarning, match=r"divided between folds.* the arms \['[BC]'\]"):
        folds = balanced_folds(received, y, groups=groups, random_state=0)
    assert len(folds) == 5


def test_folds_follow_the_seed_alone():
    received, y = cohort()
    one, same, other = (fold_of(balanced_folds(received, y, random_state=s), len(y)) for s in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    legacy = [balanced_folds(received, y, random_state=np.random.RandomState(4)) for _ in range(2)]
    assert np.array_equal(*(fold_of(folds, len(y)) for folds in legacy))
    shifted = balanced_folds(received.set_axis(received.index + 50), y, random_state=1)
    assert np.array_equal(fold_of(shifted, len(y)), one)


def test_missing_groups_and_useless_seeds_are_refused():
    received, y = cohort()
    groups = pd.Series(np.where(np.arange(len(y)) % 2, "s1", "s2"), name="site").mask(received == "C")
    with pytest.raises(InputError, match=r"'site' has no group for \d+ patients"):
        balanced_folds(received, y, groups=groups)
    with pytest.raises(InputError, match="random_state is -1"):
        balanced_folds(received, y, random_state=-1)


def test_folds_by_key_are_alike_and_the_same_in_any_order():
    rng = np.random.default_rng(0)
    arms, key = rng.integers(0, 3, 400), rng.random(400)
    y = (rng.random(400) < 0.4).astype(float)
    folds = folds_by_key(arms, y, key)
    assert sorted(np.concatenate([fold for _, fold in folds])) == list(range(400))
    for k in range(3):
        shares = [(arms[fold] == k).sum() for _, fold in folds]
        assert max(shares) - min(shares) <= 1
    order = rng.permutation(400)
    again = folds_by_key(arms[order], y[order], key[order])
    assert {frozenset(order[fold]) for _, fold in again} == {frozenset(fold) for _, fold in folds}


def test_folds_by_key_keep_sites_whole_unless_an_arm_would_be_lost():
    rng = np.random.default_rng(2)
    sites = np.repeat(np.arange(12), 20)
    arms, key = rng.integers(0, 2, 240), rng.random(240)
    y = rng.integers(0, 2, 240).astype(float)
    for _, fold in folds_by_key(arms, y, key, sites=sites):
        assert not set(sites[fold]) & set(np.delete(sites, fold))
    lonely = np.where(sites == 3, 1, 0)  # one arm at one site only
    with pytest.warns(TreatselWarning, match="divided between folds"):
        folds = folds_by_key(lonely, y, key, sites=sites)
    assert all(lonely[rest].any() for rest, _ in folds)
