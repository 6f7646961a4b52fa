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
from treatsel.recommendation import STATUS_REASONS, STATUSES

TABLE = pd.DataFrame({"CBT": [0.60, 0.41], "SSRI": [0.40, 0.40], "TAU": [0.30, 0.20]}, index=["a", "b"])


def draws_of(table, sd=0.02, n=2000, seed=0):
    half = np.random.default_rng(seed).normal(0, sd, (n // 2, *table.shape))
    return table.to_numpy() + np.concatenate([half, -half])


def row(patient="a", **options):
    return recommend(TABLE, **{"draws": draws_of(TABLE), **options}).to_frame().loc[patient]


def test_the_clear_case_and_the_close_one():
    table = recommend(TABLE, draws=draws_of(TABLE)).to_frame()
    assert table["arm"].tolist() == ["CBT", "CBT"]
    assert table["status"].tolist() == ["supported", "no_clear_best"]
    assert table["best_set"].tolist() == [("CBT",), ("CBT", "SSRI")]
    np.testing.assert_allclose(table["advantage"], [0.20, 0.01])
    # simultaneous over two leads with correlation 1/2: z = 2.212 (two-sided 95 %), not 1.960
    half = 2.212 * 0.02 * np.sqrt(2)
    np.testing.assert_allclose(table["advantage_lower"], [0.20 - half, 0.01 - half], atol=0.005)
    np.testing.assert_allclose(table["advantage_upper"], [0.20 + half, 0.01 + half], atol=0.005)
    # P(N(.01, .02 x sqrt(2)) > 0) = Phi(.354)
    np.testing.assert_allclose(table["p_best"], [1.0, 0.638], atol=0.03)
    assert table["excluded"].tolist() == [{}, {}]
    assert set(table["status"]) <= set(STATUSES)


def test_the_best_set_by_hand():
    """Four draws; lead over B: 1, 2, 3, 4 hundredths, over C: 10 always."""
    by_arm = pd.DataFrame({"A": [0.525], "B": [0.50], "C": [0.425]})
    lead = np.array([0.01, 0.02, 0.03, 0.04])
    draws = np.stack([0.50 + lead, np.full(4, 0.50), 0.40 + lead], axis=1)[:, None, :]
    # level near 0: the bound is near the middle, 0.0225; level near 1: at the smallest lead over B, 0.01
    for level, margin, best in [(0.999, 0.0, ("A",)), (0.999, 0.02, ("A", "B")), (0.001, 0.015, ("A",))]:
        table = recommend(by_arm, draws=draws, level=level, margin=margin).to_frame()
        assert table["best_set"].tolist() == [best], (level, margin)
    assert recommend(by_arm, draws=draws).to_frame()["p_best"].tolist() == [1.0]


def test_bounds_are_simultaneous_over_arms():
    """With many equal arms at z = 2.1 a single bound excludes all, a simultaneous one does not."""
    rng = np.random.default_rng(0)
    rivals = [f"r{j:02d}" for j in range(12)]
    by_arm = pd.DataFrame([[0.5 + 2.1 * 0.02, *[0.5] * 12]], columns=["top", *rivals])
    half = rng.normal(0, 0.02, (4000, 1, 13))
    half[:, :, 0] = 0  # no uncertainty in the top arm, so leads are independent
    draws = by_arm.to_numpy() + np.concatenate([half, -half])
    two = by_arm[["top", "r00"]]
    assert recommend(two, draws=draws[:, :, :2]).to_frame()["status"].tolist() == ["supported"]
    many = recommend(by_arm, draws=draws).to_frame().iloc[0]
    assert len(many["best_set"]) == 13
    # the critical value is that of the largest of 12 independent normals: Phi^-1(.975^(1/12)) = 2.86
    for z, status in [(2.7, "no_clear_best"), (3.05, "supported")]:
        shift = np.array([z * 0.02 - 2.1 * 0.02, *[0.0] * 12])
        found = recommend(by_arm + shift, draws=draws + shift).to_frame()["status"]
        assert found.tolist() == [status]


def test_an_arm_must_be_worse_by_more_than_the_margin():
    assert row(margin=0.10).best_set == ("CBT",)
    assert row(margin=0.15).best_set == ("CBT", "SSRI")
    assert row(margin=0.15).status == "no_clear_best"


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
    assert np.isnan([only.advantage, only.advantage_lower, only.p_best]).all()


def test_without_a_permitted_arm_none_is_recommended():
    none = row(excluded=dict.fromkeys(TABLE.columns, "pregnant"), rule="supported", default_arm="TAU")
    assert (none.arm, none.top, none.status, none.best_set) == (None, None, "out_of_scope", ())
    assert none.excluded == dict.fromkeys(TABLE.columns, "pregnant")


def test_without_draws_nothing_is_supported():
    table = recommend(TABLE).to_frame()
    assert table["status"].tolist() == ["no_interval"] * 2
    assert table["status_reasons"].tolist() == [(("no_interval", None),)] * 2
    assert table["arm"].tolist() == ["CBT", "CBT"]
    assert table["best_set"].tolist() == [tuple(TABLE.columns)] * 2
    assert table[["advantage_lower", "advantage_upper", "p_best"]].isna().all(axis=None)


@pytest.mark.parametrize("arm", ["CBT", "SSRI", "TAU"])
def test_an_arm_without_evidence_never_leaves_the_best_set(arm):
    found = row(evidence={arm: False})
    assert found.status == "insufficient_evidence"
    assert arm in found.best_set


def test_arms_with_evidence_may_be_close_whatever_the_others_are():
    found = row("b", evidence={"TAU": False})
    assert (found.status, found.best_set) == ("no_clear_best", ("CBT", "SSRI", "TAU"))


def test_patients_out_of_scope_are_matched_by_name():
    scope = pd.Series([True, False], index=["b", "a"])
    table = recommend(TABLE, draws=draws_of(TABLE), in_scope=scope).to_frame()
    assert table["status"].tolist() == ["out_of_scope", "no_clear_best"]


def test_rule_supported_falls_back_on_the_default_arm():
    options = {"draws": draws_of(TABLE), "default_arm": "SSRI", "rule": "supported"}
    assert recommend(TABLE, **options).to_frame()["arm"].tolist() == ["CBT", "SSRI"]
    assert recommend(TABLE, **options).to_frame()["top"].tolist() == ["CBT", "CBT"]
    refused = recommend(TABLE, **options, excluded={"SSRI": "refused"}).to_frame()
    assert refused["arm"].tolist() == ["CBT", "CBT"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"by_arm": TABLE[["CBT"]]}, "one arm, 'CBT'. A recommendation needs at least two"),
        ({"by_arm": TABLE * 100}, r"outside 0 to 1\. Probabilities are proportions"),
        ({"by_arm": TABLE.mask(TABLE > 0.5)}, "1 missing value"),
        ({"by_arm": pd.concat([TABLE, TABLE])}, r"index\) of by_arm hold 2 duplicates"),
        ({"by_arm": TABLE.to_numpy()}, "must be a DataFrame"),
        ({"rule": "best"}, "rule is 'best'; it must be 'expected' or 'supported'"),
        ({"rule": "supported"}, "requires default_arm"),
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
    numbers = ["advantage", "advantage_lower", "advantage_upper", "p_best"]
    pd.testing.assert_frame_equal(one[numbers], two[numbers])


@settings(max_examples=40, deadline=None)
@given(table=TABLES, levels=st.tuples(st.floats(0.05, 0.99), st.floats(0.05, 0.99)), seed=st.integers(0, 99))
def test_more_confidence_or_a_larger_margin_makes_the_best_set_larger(table, levels, seed):
    draws = draws_of(table, sd=0.1, n=200, seed=seed)
    low, high = (recommend(table, draws=draws, level=x).to_frame()["best_set"] for x in sorted(levels))
    assert all(set(a) <= set(b) for a, b in zip(low, high, strict=True))
    wide = recommend(table, draws=draws, level=min(levels), margin=0.1).to_frame()["best_set"]
    assert all(set(a) <= set(b) for a, b in zip(low, wide, strict=True))
    assert all(top in arms for top, arms in zip(table.idxmax(axis=1), low, strict=True))


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
        assert statuses(**options, rule="supported", default_arm="SSRI") == [expected] * 2


def test_one_arm_or_no_interval_is_never_supported_whatever_the_options_are():
    rng = np.random.default_rng(4)
    table = pd.DataFrame(rng.uniform(0, 1, (200, 3)), columns=["A", "B", "C"])
    allowed = pd.DataFrame(rng.uniform(size=(200, 3)) < 0.5, columns=["A", "B", "C"])
    n = allowed.sum(axis=1)
    for margin, rule, level in [(0, "expected", 0.95), (0.3, "supported", 0.5)]:
        options = {"allowed": allowed, "margin": margin, "rule": rule, "level": level, "default_arm": "B"}
        sure = recommend(table, draws=[table.to_numpy()] * 5, **options).to_frame()["status"]
        bare = recommend(table, **options).to_frame()["status"]
        for found, of_several in ((sure, {"supported", "no_clear_best"}), (bare, {"no_interval"})):
            assert set(found[n == 0]) == {"out_of_scope"}
            assert set(found[n == 1]) == {"only_option"}
            assert set(found[n > 1]) <= of_several


@settings(max_examples=60, deadline=None)
@given(table=TABLES, seed=st.integers(0, 99), margin=st.sampled_from([0.0, 0.05]))
def test_the_printed_interval_decides(table, seed, margin):
    """Supported if, and only if, the printed lower limit is above the margin: also with a vague third arm."""
    noise = np.random.default_rng(seed).normal(0, [0.02, 0.02, 0.02, 0.3], (400, 4, 4))
    draws = table.to_numpy() + noise - noise.mean(axis=0)
    found = recommend(table, draws=draws, margin=margin).to_frame()
    assert ((found["status"] == "supported") == (found["advantage_lower"] > margin)).all()
    assert (found["advantage_lower"] <= found["advantage"]).all()
    assert (found["advantage"] <= found["advantage_upper"]).all()


def test_a_vague_third_arm_widens_the_interval_of_the_advantage():
    """The pointwise interval of CBT minus SSRI excludes 0; TAU may be the best, so nothing is supported."""
    by_arm = pd.DataFrame({"CBT": [0.6], "SSRI": [0.5], "TAU": [0.4]})
    z = np.random.default_rng(0).normal(size=(4000, 1, 3))
    draws = by_arm.to_numpy() + np.array([0.0, 0.02, 0.3]) * (z - z.mean(axis=0))
    found = recommend(by_arm, draws=draws).to_frame().iloc[0]
    assert (found.status, found.best_set) == ("no_clear_best", ("CBT", "TAU"))
    assert found.status_reasons == (("not_clearly_worse", "TAU"),)
    # independent leads: z = Phi^-1(.975^(1/2)) = 2.236
    assert found.advantage_lower == pytest.approx(0.2 - 2.236 * 0.3, abs=0.02)
    assert found.advantage_upper == pytest.approx(0.1 + 2.236 * 0.02, abs=0.005)


def test_with_two_arms_the_interval_is_the_quantiles_of_the_difference():
    two = TABLE[["CBT", "SSRI"]]
    draws = draws_of(two, seed=3)
    found = recommend(two, draws=draws, level=0.9).to_frame()
    expected = np.quantile(draws[:, :, 0] - draws[:, :, 1], [0.05, 0.95], axis=0)
    np.testing.assert_allclose(found[["advantage_lower", "advantage_upper"]].to_numpy().T, expected)


def test_every_reason_is_a_known_code():
    tied = pd.DataFrame({"CBT": [0.5], "SSRI": [0.5], "TAU": [0.4]})
    draws = draws_of(tied)
    found = recommend(tied, draws=draws, evidence={"TAU": False}).to_frame().iloc[0]
    assert found.status_reasons == (("tied", "CBT"), ("tied", "SSRI"), ("few_events", "TAU"))
    assert row(in_scope=pd.Series(False, index=TABLE.index)).status_reasons == (("not_in_scope", None),)
    assert row(excluded=dict.fromkeys(TABLE, "no")).status_reasons == (("no_permitted_arm", None),)
    assert row().status_reasons == ()
    shown = {"tied", "few_events", "not_in_scope", "no_permitted_arm", "only_permitted_arm"}
    assert shown | {"no_interval", "not_clearly_worse"} == set(STATUS_REASONS)


def test_what_decided_is_in_the_json():
    options = {
        "default_arm": "TAU",
        "rule": "supported",
        "margin": np.float32(0.25),
        "level": np.float32(0.5),
    }
    found = recommend(TABLE, excluded={"SSRI": "no pharmacist"}, **options)
    content = json.loads(found.to_json(), parse_constant=pytest.fail)
    assert content["kind"] == "treatsel recommendations"
    assert content["schema"] == 1
    shown = {key: content[key] for key in ("rule", "margin", "level", "default_arm", "excluded", "interval")}
    assert shown == {
        "rule": "supported",
        "margin": 0.25,
        "level": 0.5,
        "default_arm": "TAU",
        "excluded": {"SSRI": "no pharmacist"},
        "interval": "simultaneous",
    }
    assert content["recommendations"][0]["status_reasons"] == [{"code": "no_interval", "about": None}]
    assert content["recommendations"][0]["advantage_lower"] is None


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
    result = recommend(TABLE, draws=draws_of(TABLE))
    ax = result.plot()
    assert "Advantage" in ax.get_xlabel()
    assert result.plot(ax=ax) is ax
    copy = result.to_frame()
    copy["arm"] = None
    assert result.to_frame()["arm"].tolist() == ["CBT", "CBT"]
