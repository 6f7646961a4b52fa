"""recommend(): small cases worked out by hand, and invariances."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treatsel import recommend
from treatsel._reporting.plots import STATUS_STYLES
from treatsel.errors import InputError
from treatsel.recommendation import STATUS_REASONS, STATUSES, DecisionRule
from treatsel.recommendation._comparison import BY_ARM, OF_TOP
from treatsel.recommendation._decision import decide

TABLE = pd.DataFrame({"CBT": [0.60, 0.41], "SSRI": [0.40, 0.40], "TAU": [0.30, 0.20]}, index=["a", "b"])


def draws_of(table, sd=0.02, n=2000, seed=0):
    half = np.random.default_rng(seed).normal(0, sd, (n // 2, *table.shape))
    return table.to_numpy() + np.concatenate([half, -half])


def row(patient="a", **options):
    return recommend(TABLE, **{"draws": draws_of(TABLE), **options}).to_frame().loc[patient]


def test_the_clear_case_and_the_close_one():
    table = recommend(TABLE, draws=draws_of(TABLE), default_arm="SSRI").to_frame()
    assert table["arm"].tolist() == ["CBT", "CBT"]
    assert table["status"].tolist() == ["clear_gain", "equivalent"]
    assert table["best_set"].tolist() == [("CBT",), ("CBT", "SSRI")]
    assert table["comparator"].tolist() == ["SSRI", "SSRI"]
    np.testing.assert_allclose(table["difference"], [0.20, 0.01])
    half = 1.96 * 0.02 * np.sqrt(2)
    np.testing.assert_allclose(table["difference_lower"], [0.20 - half, 0.01 - half], atol=0.005)
    np.testing.assert_allclose(table["difference_upper"], [0.20 + half, 0.01 + half], atol=0.005)
    # the difference of the second patient is N(.01, .02 x sqrt(2)); P(> 0) = Phi(.354)
    np.testing.assert_allclose(table["p_better"], [1.0, 0.638], atol=0.03)
    np.testing.assert_allclose(table["p_best"], [1.0, 0.638], atol=0.03)
    # E(max(-d, 0)) = sd phi(.354) - .01 Phi(-.354)
    np.testing.assert_allclose(table["expected_regret"], [0.0, 0.00698], atol=0.0005)
    np.testing.assert_allclose(table["advantage"], [0.20, 0.01])
    np.testing.assert_allclose(table["advantage_lower"], [0.20 - half, 0.01 - half], atol=0.005)
    np.testing.assert_allclose(table["advantage_upper"], [0.20 + half, 0.01 + half], atol=0.005)
    assert table["excluded"].tolist() == [{}, {}]
    assert set(table["status"]) <= set(STATUSES)


def test_every_arm_is_compared_by_hand():
    """Four draws of three arms; the margin is .05."""
    draws = np.array([[0.5, 0.4, 0.2], [0.5, 0.5, 0.2], [0.5, 0.6, 0.2], [0.5, 0.58, 0.7]])[:, None]
    by_arm = pd.DataFrame(draws.mean(axis=0), columns=["A", "B", "C"])
    found = recommend(by_arm, draws=draws, comparator="A", level=0.5).compared().loc[0]
    assert found["difference"].tolist() == pytest.approx([0, 0.02, -0.175])
    assert found["difference_lower"].tolist() == pytest.approx([np.nan, -0.025, -0.3], nan_ok=True)
    assert found["p_better"].tolist() == pytest.approx([np.nan, 0.5, 0.25], nan_ok=True)
    assert found["p_relevantly_better"].tolist() == pytest.approx([np.nan, 0.5, 0.25], nan_ok=True)
    # best: .5 (A), .5 (A and B), .6 (B), .7 (C)
    assert found["p_best"].tolist() == pytest.approx([0.375, 0.375, 0.25])
    assert found["expected_regret"].tolist() == pytest.approx([0.075, 0.055, 0.25])
    assert found["p_regret"].tolist() == pytest.approx([0.5, 0.5, 0.75])
    # the top arm is B: A is above it by .1 once, C by .12 once
    assert found["p_above_top"].tolist() == pytest.approx([0.25, 0, 0.25])


def test_the_best_set_by_hand():
    """Regrets .055 (B), .075 (A), .25 (C) of the case above: means .055, .065, .1267; C is .195 below B."""
    draws = np.array([[0.5, 0.4, 0.2], [0.5, 0.5, 0.2], [0.5, 0.6, 0.2], [0.5, 0.58, 0.7]])[:, None]
    by_arm = pd.DataFrame(draws.mean(axis=0), columns=["A", "B", "C"])
    for margin, best in [(0.0, "B"), (0.06, "B"), (0.066, "AB"), (0.19, "AB"), (0.2, "ABC")]:
        assert recommend(by_arm, draws=draws, margin=margin).table["best_set"].tolist() == [tuple(best)]


def test_statuses_at_their_thresholds():
    """Two arms; of 100 draws, `n` favor B, by `gain` or else by -.02."""

    def status(n, gain, **options):
        lead = np.where(np.arange(100) < n, gain, -0.02)
        draws = np.stack([np.full(100, 0.5), 0.5 + lead], axis=1)[:, None]
        by_arm = pd.DataFrame(draws.mean(axis=0), columns=["A", "B"])
        return recommend(by_arm, draws=draws, default_arm="A", **options).table["status"].tolist()[0]

    assert status(95, 0.1) == "clear_gain"
    assert status(94, 0.1) == "leaning"
    assert status(95, 0.04) == "leaning"  # the expected difference is below the margin
    assert status(95, 0.04, margin=0.03) == "clear_gain"
    assert status(80, 0.1) == "leaning"
    assert status(79, 0.1) == "undecided"  # A is not within the margin of B
    assert status(79, 0.04) == "equivalent"
    assert status(19, 0.06) == "default_best"
    assert status(20, 0.06) == "undecided"  # the default arm is on top, but B may be relevantly better
    assert status(20, 0.06, margin=0.07) == "default_best"
    assert status(79, 0.1, margin=0.01) == "undecided"


def test_statuses_without_a_comparator():
    for excluded in (None, {"TAU": "closed"}):
        options = {"draws": draws_of(TABLE), "excluded": excluded}
        options |= {} if excluded is None else {"default_arm": "TAU"}
        found = recommend(TABLE, **options).to_frame()
        assert found["status"].tolist() == ["undecided", "equivalent"]
        assert found[["difference", "difference_lower", "p_better"]].isna().all(axis=None)
        reasons = [("no_comparator", "TAU")] if excluded else []
        assert [list(each) for each in found["status_reasons"]] == [
            reasons,
            [("about_equal", "SSRI"), *reasons],
        ]


def test_a_named_comparator_takes_ties_and_the_place_of_the_default_arm():
    found = recommend(TABLE, draws=draws_of(TABLE), default_arm="CBT", comparator="TAU").to_frame()
    assert found["comparator"].tolist() == ["TAU", "TAU"]
    np.testing.assert_allclose(found["difference"], [0.30, 0.21])
    tied = pd.DataFrame({"CBT": [0.5], "SSRI": [0.5], "TAU": [0.4]})
    assert recommend(tied, default_arm="CBT", comparator="SSRI").table["arm"].tolist() == ["SSRI"]


def test_the_default_arm_wins_ties():
    tied = pd.DataFrame({"CBT": [0.5], "SSRI": [0.5], "TAU": [0.4]})
    for default in ("CBT", "SSRI"):
        assert recommend(tied, default_arm=default).to_frame()["arm"].tolist() == [default]
    assert recommend(tied, default_arm="TAU").to_frame()["arm"].tolist() == [None]
    assert recommend(tied, default_arm="SSRI").to_frame()["advantage"].tolist() == [0]


def test_permissions_by_patient():
    allowed = pd.DataFrame(True, index=["b", "a"], columns=["TAU", "SSRI", "CBT", "other"])
    allowed.loc["a", "CBT"] = False
    table = recommend(TABLE, draws=draws_of(TABLE), allowed=allowed).to_frame()
    assert table["arm"].tolist() == ["SSRI", "CBT"]
    assert table["excluded"].tolist() == [{"CBT": "not permitted for this patient"}, {}]
    assert table.loc["a", "advantage"] == pytest.approx(0.1)
    assert "CBT" not in table.loc["a", "best_set"]


def test_permissions_with_reasons():
    table = recommend(TABLE, draws=draws_of(TABLE), excluded={"CBT": "no therapist"}).to_frame()
    assert table["arm"].tolist() == ["SSRI", "SSRI"]
    assert table["excluded"].tolist() == [{"CBT": "no therapist"}] * 2


def test_one_permitted_arm_is_given_but_not_compared():
    only = row(excluded={"CBT": "no therapist", "TAU": "not offered"})
    assert (only.arm, only.status, only.best_set) == ("SSRI", "only_option", ("SSRI",))
    assert only.status_reasons == (("only_permitted_arm", "SSRI"),)
    assert np.isnan([only.advantage, only.advantage_lower, only.difference]).all()


def test_without_a_permitted_arm_none_is_recommended():
    none = row(excluded=dict.fromkeys(TABLE.columns, "pregnant"), rule="switch", default_arm="TAU")
    assert (none.arm, none.top, none.status, none.best_set) == (None, None, "out_of_scope", ())
    assert none.excluded == dict.fromkeys(TABLE.columns, "pregnant")


def test_without_draws_nothing_is_clear():
    table = recommend(TABLE).to_frame()
    assert table["status"].tolist() == ["no_interval"] * 2
    assert table["status_reasons"].tolist() == [(("no_interval", None),)] * 2
    assert table["arm"].tolist() == ["CBT", "CBT"]
    assert table["best_set"].tolist() == [tuple(TABLE.columns)] * 2
    assert table[["advantage_lower", "p_better", "expected_regret", "p_best"]].isna().all(axis=None)


def test_the_top_arm_and_the_comparator_need_evidence():
    for arm, status in [
        ("CBT", "insufficient_evidence"),
        ("SSRI", "clear_gain"),
        ("TAU", "insufficient_evidence"),
    ]:
        found = row(evidence={arm: False}, default_arm="TAU")
        assert found.status == status
        assert found.status_reasons == ((("few_events", arm),) if status != "clear_gain" else ())


def test_patients_out_of_scope_are_matched_by_name():
    scope = pd.Series([True, False], index=["b", "a"])
    table = recommend(TABLE, draws=draws_of(TABLE), in_scope=scope).to_frame()
    assert table["status"].tolist() == ["out_of_scope", "equivalent"]


def test_rules():
    options = {"draws": draws_of(TABLE), "default_arm": "SSRI"}

    def arms(**more):
        return recommend(TABLE, **options | more).to_frame()["arm"].tolist()

    assert arms() == ["CBT", "CBT"]
    assert arms(rule="switch") == ["CBT", "SSRI"]  # P(better) is 1 and .64
    assert arms(rule="switch", p_switch=0.6) == ["CBT", "CBT"]
    assert arms(rule="switch", comparator="TAU") == ["CBT", "CBT"]
    assert arms(rule="default") == ["SSRI", "SSRI"]
    assert arms(rule="default", comparator="TAU") == ["SSRI", "SSRI"]
    for rule in ("switch", "default"):
        assert arms(rule=rule, excluded={"SSRI": "refused"}) == ["CBT", "CBT"]
        assert recommend(TABLE, rule=rule, **options).to_frame()["top"].tolist() == ["CBT", "CBT"]


def test_a_switch_without_draws_is_never_made():
    assert recommend(TABLE, default_arm="SSRI", rule="switch").table["arm"].tolist() == ["SSRI", "SSRI"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by_arm": TABLE[["CBT"]]}, "one arm, 'CBT'. A recommendation needs at least two"),
        ({"by_arm": TABLE * 100}, r"outside 0 to 1\. Probabilities are proportions"),
        ({"by_arm": TABLE.mask(TABLE > 0.5)}, "1 missing value"),
        ({"by_arm": pd.concat([TABLE, TABLE])}, r"index\) of by_arm hold 2 duplicates"),
        ({"by_arm": TABLE.to_numpy()}, "must be a DataFrame"),
        ({"rule": "best"}, "rule is 'best'; it must be 'expected', 'switch' or 'default'"),
        ({"rule": "switch"}, "requires default_arm"),
        ({"rule": "default", "comparator": "CBT"}, "requires default_arm"),
        ({"comparator": "cbt"}, "Did you mean 'CBT'"),
        ({"p_switch": 0.3}, "p_switch is 0.3; it must be a probability of 0.5 or more"),
        ({"p_switch": "x"}, "p_switch must be a number"),
        ({"default_arm": "cbt"}, "Did you mean 'CBT'"),
        ({"margin": 5}, "margin is 5"),
        ({"margin": np.nan}, "margin is nan"),
        ({"margin": "x"}, "margin must be a number; it is a str"),
        ({"margin": None}, "margin must be a number; it is a NoneType"),
        ({"margin": [0.1]}, "margin must be a number; it is a list"),
        ({"margin": True}, "margin must be a number; it is a bool"),
        ({"level": 95}, "level is 95"),
        ({"level": "0.95"}, "level must be a number; it is a str"),
        ({"draws": np.zeros((10, 2, 2))}, r"shape \(n_draws, 2, 3\); they have shape \(10, 2, 2\)"),
        ({"draws": np.zeros((2, 3))}, r"they have shape \(2, 3\)"),
        ({"draws": np.zeros((0, 2, 3))}, r"they have shape \(0, 2, 3\)"),
        ({"draws": np.full((10, 2, 3), np.nan)}, "must be finite"),
        ({"draws": "many"}, "array of numbers"),
        ({"excluded": {"yoga": "no"}}, "An arm to exclude is 'yoga'"),
        ({"excluded": {"CBT": True, "SSRI": False}}, "names 'CBT' without a reason"),
        ({"allowed": ["CBT"]}, "not a list"),
        ({"allowed": pd.DataFrame({"CBT": [True, True]}, index=["a", "b"])}, r"lacks \['SSRI', 'TAU'\]"),
        ({"allowed": (TABLE > 0).head(1)}, "lacks 1 of 2 patients"),
        ({"allowed": TABLE}, "True and False only"),
        ({"allowed": (TABLE > 0).astype("boolean").mask(TABLE > 0.5)}, "True and False only"),
        ({"allowed": pd.concat([TABLE > 0, TABLE > 0])}, "hold 2 duplicates"),
        ({"in_scope": pd.Series([True], index=["a"])}, "in_scope lacks 1 of 2 patients"),
        ({"in_scope": [True, False]}, "Series of True and False"),
        ({"in_scope": pd.Series([1.0, np.nan], index=["a", "b"])}, "Series of True and False"),
    ],
)
def test_bad_input_is_refused(change, message):
    options = {"by_arm": TABLE, "draws": draws_of(TABLE), **change}
    with pytest.raises(InputError, match=message):
        recommend(options.pop("by_arm"), **options)


TABLES = st.integers(0, 10_000).map(
    lambda seed: pd.DataFrame(np.random.default_rng(seed).uniform(0.2, 0.8, (4, 4)), columns=list("ABCD"))
)


@settings(max_examples=40, deadline=None)
@given(table=TABLES, order=st.permutations(range(4)), seed=st.integers(0, 99))
def test_order_and_names_of_arms_do_not_matter(table, order, seed):
    draws = draws_of(table, sd=0.05, n=200, seed=seed)
    new = dict(zip("ABCD", "ZYXW", strict=True))
    other = table.iloc[:, order].rename(columns=new)
    one = recommend(table, draws=draws, default_arm="B").to_frame()
    two = recommend(other, draws=draws[:, :, order], default_arm="Y").to_frame()
    assert one["arm"].map(new).tolist() == two["arm"].tolist()
    assert one["status"].tolist() == two["status"].tolist()
    assert [{new[arm] for arm in arms} for arms in one["best_set"]] == list(map(set, two["best_set"]))
    numbers = ["difference", "difference_lower", "difference_upper", "p_better", "expected_regret", "p_best"]
    numbers += ["advantage", "advantage_lower", "advantage_upper"]
    pd.testing.assert_frame_equal(one[numbers], two[numbers])


@settings(max_examples=40, deadline=None)
@given(table=TABLES, margins=st.tuples(st.floats(0, 0.3), st.floats(0, 0.3)), seed=st.integers(0, 99))
def test_laws_of_comparisons(table, margins, seed):
    draws = draws_of(table, sd=0.1, n=200, seed=seed)
    low, high = (recommend(table, draws=draws, default_arm="A", margin=x) for x in sorted(margins))
    pairs = zip(low.columns["best_set"], high.columns["best_set"], strict=True)
    assert all(set(a) <= set(b) for a, b in pairs)  # a larger margin never removes an arm
    assert all(top in arms for top, arms in zip(table.idxmax(axis=1), low.columns["best_set"], strict=True))
    found = low.comparisons
    np.testing.assert_allclose(found["p_best"].sum(axis=1), 1)
    assert (found["expected_regret"] >= 0).all()
    assert (found["p_relevantly_better"][:, 1:] <= found["p_better"][:, 1:]).all()
    assert (found["difference_lower"][:, 1:] <= found["difference_upper"][:, 1:]).all()
    # the regret of an arm minus that of another is the difference of their expected values
    change = found["expected_regret"] - found["expected_regret"][:, :1]
    np.testing.assert_allclose(-change, (draws.mean(axis=0) - draws.mean(axis=0)[:, :1]), atol=1e-12)


def test_a_dominated_arm_is_never_first_or_clear():
    draws = draws_of(TABLE, sd=0.1)
    worse = draws[:, :, [0]] - 0.001  # in every draw
    table = TABLE.assign(worse=TABLE["CBT"] - 0.001)
    found = recommend(table, draws=np.concatenate([draws, worse], axis=2), default_arm="CBT")
    assert "worse" not in found.columns["arm"]
    assert found.comparisons["p_best"][:, 3].tolist() == [0, 0]
    assert found.comparisons["p_better"][:, 3].tolist() == [0, 0]


def test_tied_arms_take_the_least_favorable_comparison():
    """A and B have the same mean; B is vague, so that C is relevantly better than it in a fifth of draws."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(2000, 1, 3)) * [0.001, 0.2, 0.001]
    table = pd.DataFrame({"A": [0.5], "B": [0.5], "C": [0.45]})
    draws = table.to_numpy() + noise - noise.mean(axis=0)
    one = recommend(table, draws=draws, default_arm="C").to_frame()
    other = recommend(table[["B", "A", "C"]], draws=draws[:, :, [1, 0, 2]], default_arm="C").to_frame()
    assert one["arm"].tolist() == other["arm"].tolist() == [None]
    assert one["status"].tolist() == other["status"].tolist() == ["undecided"]


def statuses(**options):
    return recommend(TABLE, **{"draws": draws_of(TABLE), **options}).to_frame()["status"].tolist()


def test_the_first_status_that_holds_is_given():
    one = {"excluded": {"CBT": "no therapist", "TAU": "not offered"}}
    none = {"excluded": dict.fromkeys(TABLE.columns, "not offered")}
    scope = {"in_scope": pd.Series(False, index=TABLE.index)}
    few = {"evidence": {"CBT": False}}
    bare = {"draws": None}
    for options, expected in [
        (one | few | bare | scope, "out_of_scope"),
        (none | bare, "out_of_scope"),
        (one | few | bare, "only_option"),
        (one | {"evidence": {"SSRI": False}}, "only_option"),
        (few | bare, "insufficient_evidence"),
        (bare, "no_interval"),
    ]:
        assert statuses(**options) == [expected] * 2
        assert statuses(**options, rule="switch", default_arm="CBT") == [expected] * 2


def test_one_arm_or_no_interval_is_never_compared_whatever_the_options_are():
    rng = np.random.default_rng(4)
    table = pd.DataFrame(rng.uniform(0, 1, (200, 3)), columns=["A", "B", "C"])
    allowed = pd.DataFrame(rng.uniform(size=(200, 3)) < 0.5, columns=["A", "B", "C"])
    n = allowed.sum(axis=1)
    compared = {"clear_gain", "default_best", "leaning", "equivalent", "undecided"}
    for margin, rule, level in [(0, "expected", 0.95), (0.3, "switch", 0.5)]:
        options = {"allowed": allowed, "margin": margin, "rule": rule, "level": level, "default_arm": "B"}
        sure = recommend(table, draws=[table.to_numpy()] * 5, **options).to_frame()["status"]
        bare = recommend(table, **options).to_frame()["status"]
        for found, of_several in ((sure, compared), (bare, {"no_interval"})):
            assert set(found[n == 0]) == {"out_of_scope"}
            assert set(found[n == 1]) == {"only_option"}
            assert set(found[n > 1]) <= of_several


@settings(max_examples=60, deadline=None)
@given(table=TABLES, seed=st.integers(0, 99), margin=st.sampled_from([0.0, 0.05]))
def test_the_printed_numbers_decide(table, seed, margin):
    noise = np.random.default_rng(seed).normal(0, [0.02, 0.02, 0.02, 0.3], (400, 4, 4))
    draws = table.to_numpy() + noise - noise.mean(axis=0)
    found = recommend(table, draws=draws, margin=margin, default_arm="A").to_frame()
    clear = (found["p_better"] >= 0.95) & (found["difference"] >= margin)
    assert ((found["status"] == "clear_gain") == clear).all()
    assert (found["advantage_lower"] <= found["advantage"]).all()
    assert (found["advantage"] <= found["advantage_upper"]).all()


def test_a_vague_third_arm_may_be_better():
    """The interval of CBT minus SSRI excludes 0; TAU may be the best."""
    by_arm = pd.DataFrame({"CBT": [0.6], "SSRI": [0.5], "TAU": [0.4]})
    z = np.random.default_rng(0).normal(size=(4000, 1, 3))
    draws = by_arm.to_numpy() + np.array([0.0, 0.02, 0.3]) * (z - z.mean(axis=0))
    found = recommend(by_arm, draws=draws).to_frame().iloc[0]
    assert (found.status, found.best_set) == ("undecided", ("CBT",))
    assert found.status_reasons == (("may_be_better", "TAU"),)
    assert found.advantage_lower == pytest.approx(0.1 - 1.96 * 0.02, abs=0.005)
    assert recommend(by_arm, draws=draws, comparator="SSRI").columns["status"].tolist() == ["clear_gain"]


def test_with_two_arms_the_interval_is_the_quantiles_of_the_difference():
    two = TABLE[["CBT", "SSRI"]]
    draws = draws_of(two, seed=3)
    found = recommend(two, draws=draws, level=0.9).to_frame()
    expected = np.quantile(draws[:, :, 0] - draws[:, :, 1], [0.05, 0.95], axis=0)
    np.testing.assert_allclose(found[["advantage_lower", "advantage_upper"]].to_numpy().T, expected)


def test_every_reason_is_a_known_code():
    tied = pd.DataFrame({"CBT": [0.5], "SSRI": [0.5], "TAU": [0.4]})
    found = recommend(tied, draws=draws_of(tied)).to_frame().iloc[0]
    assert found.status_reasons == (("tied", "CBT"), ("tied", "SSRI"))
    few = recommend(tied, draws=draws_of(tied), evidence={"TAU": False}, default_arm="TAU").to_frame().iloc[0]
    assert few.status_reasons == (("few_events", "TAU"),)
    assert row(in_scope=pd.Series(False, index=TABLE.index)).status_reasons == (("not_in_scope", None),)
    assert row(excluded=dict.fromkeys(TABLE, "no")).status_reasons == (("no_permitted_arm", None),)
    assert row(default_arm="SSRI").status_reasons == ()
    shown = {"tied", "few_events", "not_in_scope", "no_permitted_arm", "only_permitted_arm"}
    shown |= {"about_equal", "may_be_better", "no_comparator", "not_likely_better"}  # above
    assert shown | {"no_interval"} == set(STATUS_REASONS)


def test_what_decided_is_in_the_json():
    options = {
        "default_arm": "TAU",
        "rule": "switch",
        "margin": np.float32(0.25),
        "level": np.float32(0.5),
    }
    found = recommend(TABLE, excluded={"SSRI": "no pharmacist"}, **options)
    content = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert content["kind"] == "treatsel recommendations"
    assert content["schema"] == 1
    shown = {
        key: content[key]
        for key in ("rule", "margin", "level", "default_arm", "comparator", "excluded", "p_switch")
    }
    assert shown == {
        "rule": "switch",
        "margin": 0.25,
        "level": 0.5,
        "default_arm": "TAU",
        "comparator": "TAU",
        "excluded": {"SSRI": "no pharmacist"},
        "p_switch": 0.8,
    }
    assert content["recommendations"][0]["status_reasons"] == [{"code": "no_interval", "about": None}]
    patient = content["recommendations"][0]
    assert patient["advantage_lower"] is patient["p_better"] is None
    assert patient["difference"] == pytest.approx(0)  # the switch is not made without draws
    assert patient["compared"]["CBT"]["difference"] == pytest.approx(0.3)


def test_statuses_have_colors_and_are_in_the_readme():
    assert set(STATUS_STYLES) == set(STATUSES)
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    listed = readme.partition("The status of a recommendation is")[2].partition("\n\n## ")[0]
    assert set(re.findall(r"^- `(\w+)`", listed, flags=re.MULTILINE)) == set(STATUSES)


def test_patients_do_not_influence_each_other():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.uniform(0.3, 0.6, (600, 3)), columns=list("ABC"))
    draws = draws_of(table, n=100)
    together = recommend(table, draws=draws).to_frame()
    alone = recommend(table.iloc[[300]], draws=draws[:, [300]]).to_frame()
    pd.testing.assert_frame_equal(together.iloc[[300]], alone)


def test_plot_shows_the_table():
    result = recommend(TABLE, draws=draws_of(TABLE), default_arm="SSRI")
    ax = result.plot()
    assert ax.get_xlabel().startswith("Recommended arm minus SSRI")
    assert "best other arm" in recommend(TABLE).plot().get_xlabel()
    assert result.plot(ax=ax) is ax
    copy = result.to_frame()
    copy["arm"] = None
    assert result.to_frame()["arm"].tolist() == ["CBT", "CBT"]


@pytest.mark.parametrize("seed", range(60))
def test_compiled_decisions_are_the_same(seed):
    """Random cases: exclusions, ties, arms without evidence, patients out of scope, all rules."""
    rng = np.random.default_rng(seed)
    n, k, n_draws = rng.integers(1, 7), rng.integers(2, 6), rng.choice([20, 101])
    arms = [f"arm {j}" for j in range(k)]
    spread = [0.005, 0.03, 0.15][seed // 3 % 3]
    draws = rng.normal(0.4, spread, (n_draws, n, k)) + rng.normal(0, 0.05, (1, n, k))
    values = draws.mean(axis=0)
    if seed % 4 == 0:
        values = values.round(1)  # ties
    if seed % 7 == 0:
        draws[:, :, 1], values[:, 1] = draws[:, :, 0], values[:, 0]
    rule = ("expected", "switch", "default")[seed % 3]
    named = arms[0] if rule != "expected" or seed % 2 else None
    options = {"rule": rule, "margin": [0.0, 0.05][seed % 2], "level": [0.95, 0.8][seed % 2]}
    by = DecisionRule.of(arms, **options, p_switch=0.8, default_arm=named, comparator=None)
    known = {
        "permitted": rng.random((n, k)) < 0.9,
        "enough": rng.random(k) < 0.9,
        "in_scope": rng.random(n) < 0.9,
        "arms": arms,
        "by": by,
    }
    one, two = (decide(values, draws, **known, compiled=compiled) for compiled in (True, False))
    for name in ("arm", "top", "tied", "status", "best_set", "comparator"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name), err_msg=name)
    for name in (*BY_ARM, *OF_TOP):
        pair = (getattr(each.comparisons, name) for each in (one, two))
        np.testing.assert_allclose(*pair, rtol=1e-10, atol=1e-12, err_msg=name)
