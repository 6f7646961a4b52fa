"""Laws of the allocation: optimal, within the limits, independent of order; refusals with numbers."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.optimize import linprog

import treatsel as ts
from treatsel.errors import InputError

ARMS = ["CBT", "GSH", "SSRI"]


def planned(seed, n=6, k=3, *, ties=False, negative=False):
    random = np.random.default_rng(seed)
    values = random.uniform(-0.3 if negative else 0, 1, (n, k))
    if ties:
        values = np.round(values * 4) / 4
    index = [f"p{i}" for i in range(n)]
    utility = pd.DataFrame(values, index=index, columns=ARMS[:k])
    allowed = pd.DataFrame(random.random((n, k)) < 0.8, index=index, columns=ARMS[:k])
    return utility, allowed, {arm: int(random.integers(0, 4)) for arm in ARMS[:k]}


def brute_force(utility, allowed, capacity, *, defer=True, minimum=(), counted=None):
    """The highest total over all assignments, and how many reach it; None if there is none."""
    n, k = utility.shape
    u, ok = utility.to_numpy(), allowed.to_numpy()
    totals = []
    for plan in itertools.product(range(k + 1), repeat=n):
        counts = np.bincount(plan, minlength=k + 1)
        if (counts[:k] > [capacity[arm] for arm in utility]).any() or (counts[k] and not defer):
            continue
        if all(a == k or ok[i, a] for i, a in enumerate(plan)) and all(
            counted(plan, key) >= least for key, least in dict(minimum).items()
        ):
            totals.append(sum(u[i, a] for i, a in enumerate(plan) if a < k))
    if not totals:
        return None, 0
    return max(totals), sum(total > max(totals) - 1e-9 for total in totals)


@pytest.mark.parametrize("seed", range(12))
def test_brute_force(seed):
    utility, allowed, capacity = planned(seed, ties=seed % 3 == 0, negative=seed % 2 == 1)
    best, n_best = brute_force(utility, allowed, capacity)
    plan = ts.allocate(utility, capacity, allowed=allowed)
    assert plan.value == pytest.approx(best, abs=1e-9)
    assert plan.several_optima == (n_best > 1) == plan.tied.any()
    for arm in ARMS[:1]:
        more, _ = brute_force(utility, allowed, {**capacity, arm: capacity[arm] + 1})
        assert plan.limits.loc[arm, "gain_of_one_more"] == pytest.approx(more - best, abs=1e-9)
        if capacity[arm]:
            less, _ = brute_force(utility, allowed, {**capacity, arm: capacity[arm] - 1})
            assert plan.limits.loc[arm, "loss_of_one_less"] == pytest.approx(best - less, abs=1e-9)
        else:
            assert np.isnan(plan.limits.loc[arm, "loss_of_one_less"])


@pytest.mark.parametrize("seed", range(6))
def test_brute_force_with_groups(seed):
    utility, allowed, capacity = planned(seed + 50, negative=True)
    capacity = {arm: n + 1 for arm, n in capacity.items()}
    group = pd.Series(["a", "b"] * 3, index=utility.index)
    minimum = {("a", "CBT"): 1, "GSH": 1, ("b", None): 2}

    def counted(plan, key):
        if key == "GSH":
            return sum(arm == 1 for arm in plan)
        return sum(arm == 0 for arm in plan[::2]) if key[0] == "a" else sum(arm < 3 for arm in plan[1::2])

    best, _ = brute_force(utility, allowed, capacity, minimum=minimum, counted=counted)
    options = {"allowed": allowed, "groups": group, "minimum": minimum}
    if best is None:
        with pytest.raises(InputError, match="minimum"):
            ts.allocate(utility, capacity, **options)
        return
    plan = ts.allocate(utility, capacity, **options)
    assert plan.value == pytest.approx(best, abs=1e-9)
    assert (plan.minimums["n_given"] >= plan.minimums["minimum"]).all()
    assert (plan.minimums["cost"] >= 0).all()


def test_highs_agrees_and_duals_lie_between_the_prices():
    random = np.random.default_rng(3)
    n, k = 300, 4
    utility = pd.DataFrame(random.beta(3, 3, (n, k)) + random.normal(0, 0.1, k), columns=list("abcd"))
    places = np.array([40, 60, 30, 80])
    plan = ts.allocate(utility, dict(zip("abcd", places.tolist(), strict=True)))
    rows = sparse.vstack(
        [sparse.kron(sparse.eye(n), np.ones((1, k))), sparse.kron(np.ones((1, n)), sparse.eye(k))]
    )
    found = linprog(-utility.to_numpy().ravel(), A_ub=rows, b_ub=[*np.ones(n), *places], method="highs")
    assert plan.value == pytest.approx(-found.fun, abs=1e-8)
    duals = -found.ineqlin.marginals[n:]
    assert (duals >= plan.limits["gain_of_one_more"] - 1e-8).all()
    assert (duals <= plan.limits["loss_of_one_less"] + 1e-8).all()
    counts = plan.arm.value_counts()
    assert all(counts[arm] <= n for arm, n in zip("abcd", places, strict=True))


@pytest.mark.parametrize("ties", [False, True])
def test_order_has_no_effect(ties):
    random = np.random.default_rng(8)
    values = random.random((60, 3))
    utility = pd.DataFrame(np.round(values, 1) if ties else values, columns=ARMS)
    utility.index = [f"p{i}" for i in range(60)]
    capacity = {"CBT": 9, "GSH": 11, "SSRI": 14}
    plan = ts.allocate(utility, capacity)
    other = ts.allocate(
        utility.iloc[random.permutation(60)][ARMS[::-1]], dict(reversed(list(capacity.items())))
    )
    shared = ["arm", "utility", "best_arm", "tied"]
    pd.testing.assert_frame_equal(plan.to_frame()[shared], other.to_frame().loc[utility.index, shared])
    pd.testing.assert_frame_equal(plan.limits, other.limits.loc[ARMS])
    assert plan.value == other.value
    assert plan.several_optima is ties
    assert plan.value >= plan.comparison["total"].iloc[1:3].max()
    assert plan.value <= plan.comparison.loc["no limits", "total"]


def test_ties_are_drawn_by_patient():
    utility = pd.DataFrame(0.5, index=range(400), columns=["a", "b"])
    plan = ts.allocate(utility, {"a": 200, "b": 100})
    chosen = (plan.arm == "a").to_numpy()
    assert plan.several_optima
    assert plan.tied.all()
    assert 70 <= chosen[:200].sum() <= 130  # not the first ones of the list
    assert (plan.limits["gain_of_one_more"] == 0.5).all()


def test_gain_and_its_interval():
    random = np.random.default_rng(2)
    utility = pd.DataFrame(random.random((40, 3)), columns=ARMS)
    draws = utility.to_numpy() + random.normal(0, 0.05, (300, 40, 3))
    plan = ts.allocate(utility, dict.fromkeys(ARMS, 8), draws=draws, level=0.9)
    rows = plan.comparison.loc[["first come, first served", "best single arm"]]
    assert (rows["gain"] >= 0).all()
    assert (rows["lower"] < rows["gain"]).all()
    assert (rows["upper"] > rows["gain"]).all()
    assert ts.allocate(utility, dict.fromkeys(ARMS, 8)).comparison["lower"].isna().all()


def test_who_loses():
    utility = pd.DataFrame({"CBT": [0.9, 0.8], "GSH": [0.2, 0.7]}, index=["p", "q"])
    plan = ts.allocate(utility, {"CBT": 1})
    row = plan.limits.loc["CBT"]
    assert (row["n_first_choice"], row["n_denied"]) == (2, 1)
    assert row["forgone"] == pytest.approx(0.1)
    assert pd.isna(plan.limits.loc["GSH", "capacity"])
    assert plan.arm.to_dict() == {"p": "CBT", "q": "GSH"}


def test_groups_of_an_audit_column():
    utility = pd.DataFrame(np.random.default_rng(0).random((60, 2)), columns=["a", "b"])
    sex = pd.Series(["f"] * 30 + ["m"] * 28 + [None] * 2, name="sex")
    plan = ts.allocate(utility, {"a": 20, "b": 25})
    found = plan.by_group(sex)
    assert list(found.columns) == ["n", "a", "b", "deferred", "mean_utility", "mean_forgone"]
    assert found.loc["missing"].isna().all()
    # nothing that is hidden follows from a total: no row or column of arms lacks one cell alone
    lacking = found[["a", "b", "deferred"]].isna()
    assert (lacking.sum(axis=0) != 1).all()
    assert (lacking.sum(axis=1) != 1).all()
    assert found["n"].isna().sum() == 2
    full = plan.by_group(sex.fillna("m"))
    np.testing.assert_allclose(full[["a", "b", "deferred"]].sum(axis=1), 1)
    assert full["n"].tolist() == [30, 30]


def test_recommendations_are_accepted():
    by_arm = pd.DataFrame({"CBT": [0.6, 0.5, 0.4], "SSRI": [0.5, 0.3, 0.35]}, index=["x", "y", "z"])
    found = ts.recommend(by_arm)
    plan = ts.allocate(found, {"CBT": 1, "SSRI": 1})
    pd.testing.assert_frame_equal(plan.to_frame(), ts.allocate(by_arm, {"CBT": 1, "SSRI": 1}).to_frame())
    outside = ts.recommend(by_arm, in_scope=pd.Series([True, True, False], index=by_arm.index))
    with pytest.raises(InputError, match=r"1 patient \(status out_of_scope"):
        ts.allocate(outside, {"CBT": 1})


UTILITY = pd.DataFrame({"CBT": [0.6, 0.5], "GSH": [0.5, 0.4]})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"capacity": {"CBT": 1, "GSH": 0}, "defer": False}, "1 place missing: of 2 patients, at most 1"),
        (
            {"minimum": {"GSH": 3}},
            "minimum of arm 'GSH' is 3, but at most 2 patients can be counted: 1 missing",
        ),
        ({"minimum": {"CBT": 1, "GSH": 2}}, "cannot all be met together"),
        ({"capacity": {"CBT": 1.5}}, "whole number"),
        ({"capacity": {"CBT": True}}, "whole number"),
        ({"capacity": {"CBD": 1}}, "Did you mean 'CBT'"),
        ({"capacity": [1, 2]}, "mapping of arm"),
        ({"minimum": {("f", "CBT"): 1}}, "Give groups="),
        ({"groups": pd.Series(["f", None])}, "lacks the group of 1 patient"),
        ({"draws": np.zeros((3, 2, 5))}, "shape"),
        ({"budget": 3}, "pair"),
        ({"budget": (3, {"CBT": 1})}, "lacks the costs of"),
        ({"allowed": pd.DataFrame({"CBT": [True, True]})}, "lacks"),
        ({"allowed": pd.DataFrame({"CBT": [1, 0], "GSH": [1, 1]})}, "True and False only"),
        ({"utility": UTILITY.assign(CBT=[np.nan, 1])}, "missing"),
        ({"utility": UTILITY.set_axis(["1", 1])}, "duplicate"),
        ({"utility": [1, 2]}, "DataFrame"),
    ],
)
def test_refusals(options, text):
    given = {"utility": UTILITY, "capacity": {"CBT": 1}} | options
    with pytest.raises(InputError, match=text):
        ts.allocate(given.pop("utility"), given.pop("capacity"), **given)


def test_nobody_may_have_an_arm():
    allowed = pd.DataFrame({"CBT": [True, False], "GSH": [True, False]})
    with pytest.raises(InputError, match=r"1 place missing.* 1 patient may have no arm at all"):
        ts.allocate(UTILITY, {}, allowed=allowed, defer=False)
    assert ts.allocate(UTILITY, {}, allowed=allowed).arm.tolist() == ["CBT", None]


def test_result_is_plain_and_short():
    plan = ts.allocate(UTILITY, {"CBT": 1}, minimum={"GSH": 1})
    found = plan.to_dict()
    assert [row["arm"] for row in found["allocation"]] == plan.arm.tolist()
    assert found["limits"][1]["capacity"] is None
    assert "not a recommendation" in plan._repr_html_()
    assert "utility" not in repr(plan)  # a total of two patients
    many = ts.allocate(pd.DataFrame({"CBT": [0.5] * 10}), {"CBT": 6})
    assert repr(many).startswith("Allocation(10 patients, 1 arm; total utility: 3.000; gain over first come")
    ax = plan.plot()
    assert [patch.get_width() for patch in ax.patches] == plan.limits["gain_of_one_more"].tolist()
