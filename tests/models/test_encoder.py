"""The encoder: any frame in, one float64 matrix out, by name."""

import json

import numpy as np
import pandas as pd
import pytest

from treatsel.errors import CohortError
from treatsel.models import Encoding

FRAME = pd.DataFrame(
    {
        "age": [20.0, 30.0, np.nan, 40.0],
        "job": ["x", "y", None, "x"],
        "married": [True, False, True, True],
        "constant": [3, 3, 3, 3],
    }
)


def learn(frame=FRAME, weights=None, native=False, knots=False):
    weights = np.ones(len(frame)) if weights is None else weights
    return Encoding.learn(frame, weights, native_missing=native, knots=knots)


def test_the_matrix_by_hand():
    encoding = learn()
    assert encoding.features == [
        "age",
        "age is missing",
        "job=x",
        "job=y",
        "job is missing",
        "married",
        "constant",
    ]
    assert encoding.sources.tolist() == [0, 0, 1, 1, 1, 2, 3]
    assert encoding.kinds.tolist() == [
        "number",
        "missing",
        "category",
        "category",
        "missing",
        "number",
        "number",
    ]
    sd = np.sqrt(200 / 3)
    expected = [
        [-10 / sd, 0, 1, 0, 0, 0.25 / np.sqrt(0.1875), 0],
        [0, 0, 0, 1, 0, -0.75 / np.sqrt(0.1875), 0],
        [0, 1, 0, 0, 1, 0.25 / np.sqrt(0.1875), 0],
        [10 / sd, 0, 1, 0, 0, 0.25 / np.sqrt(0.1875), 0],
    ]
    np.testing.assert_allclose(encoding.encode(FRAME), expected, atol=1e-12)


def test_native_missing_numbers_keep_their_scale():
    encoding = learn(native=True)
    assert encoding.features == ["age", "job=x", "job=y", "job is missing", "married", "constant"]
    np.testing.assert_array_equal(encoding.encode(FRAME)[:, 0], FRAME["age"])


def test_weights_count_as_repeated_rows():
    weights = np.array([1, 2, 3, 1])
    repeated = FRAME.loc[np.repeat(FRAME.index, weights)]
    np.testing.assert_allclose(learn(weights=weights).encode(FRAME), learn(repeated).encode(FRAME))


def test_order_index_dtype_and_extra_columns_do_not_matter():
    encoding, expected = learn(), learn().encode(FRAME)
    other = FRAME[["constant", "job", "married", "age"]].set_axis([9, 9, 9, 9]).assign(extra="text")
    np.testing.assert_array_equal(encoding.encode(other), expected)
    typed = FRAME.astype({"age": "Float64", "job": "category", "married": "boolean", "constant": "int8"})
    np.testing.assert_array_equal(encoding.encode(typed), expected)
    np.testing.assert_array_equal(encoding.encode(FRAME.astype(object)), expected)


def test_a_category_given_as_a_number_is_the_same_category():
    encoding = learn(pd.DataFrame({"band": ["1", "2", "1"]}))
    for values in ([2], [2.0], ["2"], [np.int8(2)]):
        np.testing.assert_array_equal(encoding.encode(pd.DataFrame({"band": values})), [[0, 1]])


def test_unseen_categories_and_unforeseen_missing_values_are_all_zero():
    complete = FRAME.dropna()
    encoding = learn(complete)
    new = pd.DataFrame({"age": [np.nan], "job": ["astronaut"], "married": [None], "constant": [None]})
    np.testing.assert_array_equal(encoding.encode(new), np.zeros((1, 5)))


def test_a_constant_is_not_inflated_by_rounding():
    values = pd.DataFrame({"x": [0.1 + 0.2, 0.3, 0.3]})
    assert np.abs(learn(values).encode(values)).max() < 1e-12


def test_an_encoding_survives_json():
    encoding = learn()
    again = Encoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    assert again == encoding
    np.testing.assert_array_equal(again.encode(FRAME), encoding.encode(FRAME))


def test_every_fault_at_once_and_no_value():
    bad = FRAME.assign(age="SECRET", married=np.inf).drop(columns="job")
    with pytest.raises(CohortError) as caught:
        learn().encode(bad)
    assert [fault.column for fault in caught.value.faults] == ["age", "job", "married"]
    assert "SECRET" not in str(caught.value)
    with pytest.raises(CohortError) as caught:
        learn(FRAME.assign(age=np.nan, constant=np.inf))
    assert [fault.column for fault in caught.value.faults] == ["age", "constant"]
    with pytest.raises(CohortError, match="'age' holds dates"):
        learn(FRAME.assign(age=pd.Timestamp("2024-01-01", tz="Europe/London")))


# -- knots -------------------------------------------------------------------------------------------------

BENT = pd.DataFrame({"age": [20.0, 30, 40, 50, 60, 70, 80, 90, np.nan], "band": list("aabbccddd")})


def test_a_number_may_bend_at_its_quartiles():
    encoding = learn(BENT, knots=True)
    assert encoding.features[:5] == ["age", "age above 30", "age above 50", "age above 70", "age is missing"]
    assert encoding.kinds.tolist() == ["number", "hinge", "hinge", "hinge", "missing"] + ["category"] * 4
    assert encoding.sources.tolist() == [0] * 5 + [1] * 4
    matrix = encoding.encode(BENT)
    center, scale = encoding.columns[0].center, encoding.columns[0].scale
    z = (BENT["age"].fillna(center) - center) / scale
    np.testing.assert_allclose(matrix[:, 0], z, atol=1e-12)
    for column, knot in enumerate((30, 50, 70), start=1):
        np.testing.assert_allclose(matrix[:, column], np.maximum(z - (knot - center) / scale, 0), atol=1e-12)
    np.testing.assert_array_equal(matrix[:, 4], BENT["age"].isna())


@pytest.mark.parametrize(
    ("values", "knots"),
    [
        (range(7), 0),  # too few distinct values
        (range(8), 3),
        ([0] * 20 + list(range(1, 9)), 1),  # quartiles 0, 0, 1: none at an end of the range
        ([0.5] * 28 + list(range(1, 9)), 0),
        ([0] * 10 + [5] * 30 + list(range(10, 20)), 1),  # 5 and 5 are one knot
    ],
)
def test_knots_are_distinct_and_inside_the_range(values, knots):
    frame = pd.DataFrame({"x": np.array(values, dtype=float)})
    assert learn(frame, knots=True).kinds.tolist() == ["number"] + ["hinge"] * knots
    assert learn(frame).kinds.tolist() == ["number"]
    assert learn(frame, native=True, knots=True).kinds.tolist() == ["number"]


def test_knots_count_weights_as_repeated_rows():
    weights = np.array([1, 1, 5, 1, 2, 3, 1, 1, 4])
    repeated = BENT.loc[np.repeat(BENT.index, weights)]
    one, other = learn(BENT, weights, knots=True), learn(repeated, knots=True)
    assert one.features == other.features
    np.testing.assert_allclose(one.encode(BENT), other.encode(BENT), atol=1e-12)


def test_knots_survive_json_and_a_change_of_unit():
    encoding = learn(BENT, knots=True)
    assert Encoding.from_dict(json.loads(json.dumps(encoding.to_dict()))) == encoding
    scaled = BENT.assign(age=BENT["age"] * 1e6 - 5)
    np.testing.assert_allclose(
        learn(scaled, knots=True).encode(scaled), encoding.encode(BENT), rtol=1e-9, atol=1e-9
    )


# -- missing values ----------------------------------------------------------------------------------------


def test_missing_values_are_identified_by_source_column():
    encoding = learn()
    expected = [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(encoding.missing(FRAME), expected)
    new = FRAME.assign(married=[None, True, True, None], extra=np.nan)[["extra", *FRAME.columns[::-1]]]
    assert encoding.missing(new)[:, 2].tolist() == [1, 0, 0, 1]
    assert encoding.missing(FRAME).dtype == np.float64


def test_a_missing_number_departs_as_numbers_do():
    encoding = learn(BENT, knots=True)
    found = encoding.departures(0, 1000)
    assert found.shape == (1000, 4)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    assert found[:, 0].std() == pytest.approx(1, abs=0.05)
    column = encoding.columns[0]
    expected = column.expand(found[:, 0])
    np.testing.assert_allclose(found, expected - expected.mean(axis=0), atol=1e-12)
    np.testing.assert_array_equal(found, encoding.departures(0, 1000))
    assert encoding.departures(0, 7).shape == (7, 4)


def test_a_missing_category_departs_by_its_shares():
    weights = 10 * np.array([1.0, 1, 2, 2, 1, 1, 1, 1, 0])
    encoding = learn(BENT, weights)
    assert encoding.columns[1].shares == pytest.approx((0.2, 0.4, 0.2, 0.2))
    found = encoding.departures(1, 20_000)
    np.testing.assert_allclose(found.sum(axis=1), 0, atol=1e-12)
    chosen = found + encoding.columns[1].shares
    np.testing.assert_allclose(np.sort(chosen, axis=1), np.tile([0.0, 0, 0, 1], (20_000, 1)), atol=1e-12)
    np.testing.assert_allclose(chosen.mean(axis=0), encoding.columns[1].shares, atol=0.015)


def test_columns_depart_independently():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 3)), columns=list("abc"))
    found = np.column_stack([learn(frame).departures(j, 1000)[:, 0] for j in range(3)])
    assert np.abs(np.corrcoef(found.T) - np.eye(3)).max() < 0.12


def test_a_category_of_a_single_level_does_not_depart():
    encoding = learn(pd.DataFrame({"country": ["here"] * 3}))
    np.testing.assert_array_equal(encoding.departures(0, 50), np.zeros((50, 1)))


def test_a_category_whose_shares_were_not_stored_departs_evenly():
    content = learn(pd.DataFrame({"band": ["a", "a", "b"]})).to_dict()
    for part in ("shares", "knots"):
        del content["columns"][0][part]
    found = Encoding.from_dict(content).departures(0, 4000)
    assert found.shape == (4000, 2)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.03)


@pytest.mark.parametrize("rare", [1, 2, 3, 4])
def test_shares_of_categories_reveal_no_small_count(rare):
    n = 400
    work = np.array(["student"] * rare + ["retired"] * 150 + ["employed"] * (n - 150 - rare), dtype=object)
    learned = Encoding.learn(pd.DataFrame({"work": work}), np.ones(n), native_missing=False).columns[0]
    shares = dict(zip(learned.levels, learned.shares, strict=True))
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["student"] == 0.0
    assert shares["retired"] == 150 / {1: 400, 2: 400, 3: 395, 4: 395}[rare]  # may be merged with others


def test_shares_of_a_handful_are_alike():
    few = pd.DataFrame({"work": ["a", "b"]})
    assert Encoding.learn(few, np.ones(2), native_missing=False).columns[0].shares == (0.5, 0.5)


@pytest.mark.parametrize("unit", [1.0, 1e-9, 5e-13, 1e-50, 1e90])
def test_the_matrix_does_not_depend_on_the_unit(unit):
    values = np.random.default_rng(0).normal(4, 1, 200)
    plain, scaled = (
        Encoding.learn(frame, np.ones(200), native_missing=False, knots=True).encode(frame)
        for frame in (pd.DataFrame({"il6": values}), pd.DataFrame({"il6": values * unit}))
    )
    np.testing.assert_allclose(scaled, plain, rtol=1e-9, atol=1e-9)


def test_a_spread_of_rounding_errors_is_a_constant():
    frame = pd.DataFrame({"x": 1e15 + np.arange(20.0) % 2})
    column = Encoding.learn(frame, np.ones(20), native_missing=False).columns[0]
    assert column.scale == 1.0


@pytest.mark.parametrize("ordered", [False, True])
def test_declared_categories_of_numbers_are_categories(ordered):
    codes = pd.Categorical([1, 2, 3, 1], ordered=ordered)
    column = Encoding.learn(pd.DataFrame({"group": codes}), np.ones(4), native_missing=False).columns[0]
    assert column.levels == ("1", "2", "3")


def test_time_differences_are_refused():
    frame = pd.DataFrame({"waited": pd.to_timedelta([1, 2, 3], unit="D")})
    with pytest.raises(CohortError, match="holds time differences"):
        Encoding.learn(frame, np.ones(3), native_missing=False)


def test_time_differences_among_objects_are_no_numbers():
    held = pd.DataFrame({"wait": pd.Series([np.timedelta64(1, "D"), np.timedelta64(2, "D")], dtype="object")})
    with pytest.raises(CohortError, match="'wait' holds time differences"):
        Encoding.learn(held, np.ones(2), native_missing=False)


# --- skewed numbers


def skewed(n=400, unit=1.0):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "months": unit * rng.lognormal(2.5, 1.1, n).round(),
            "score": rng.integers(0, 28, n).astype(float),
            "change": rng.lognormal(0, 1, n) - 3.0,  # may be negative
            "sessions": np.minimum(rng.geometric(0.6, n), 5).astype(float),  # a handful of values
        }
    )


def test_a_skewed_number_enters_on_a_logarithmic_scale():
    frame = skewed()
    encoding = Encoding.of_cohort(frame, np.ones(len(frame)), native_missing=False, knots=True, logs=True)
    units = [column.log_unit for column in encoding.columns]
    quartile = frame["months"][frame["months"] > 0].quantile(0.25, interpolation="lower")
    assert quartile / units[0] in (1, 4, 16)
    assert units[1:] == [0.0, 0.0, 0.0]
    z = encoding.encode(frame)[:, 0]
    expected = np.log1p(frame["months"] / units[0])
    np.testing.assert_allclose(z, (expected - expected.mean()) / expected.std(ddof=0), atol=1e-12)
    assert abs(pd.Series(z).skew()) < 0.5 < frame["months"].skew()
    # names of hinges are in the unit of the number, and a quarter of the patients are on each segment
    knots = [float(f.rsplit(" ", 1)[1]) for f in encoding.features if f.startswith("months above")]
    np.testing.assert_allclose(knots, frame["months"].quantile([0.25, 0.5, 0.75]), rtol=0.1)
    plain = Encoding.of_cohort(frame, np.ones(len(frame)), native_missing=False, knots=True)
    assert not any(column.log_unit for column in plain.columns)


@pytest.mark.parametrize("value", [0.0, 1.0, 7.0, 1e6, -4.0, 1e30, np.nan])
def test_one_patient_is_encoded_as_in_a_table(value):
    frame = skewed()
    encoding = Encoding.of_cohort(frame, np.ones(len(frame)), native_missing=False, knots=True, logs=True)
    again = Encoding.from_dict(json.loads(json.dumps(encoding.to_dict())))
    assert again == encoding
    table = frame.head(3).assign(months=value)
    for row, record in zip(encoding.encode(table), table.to_dict("records"), strict=True):
        np.testing.assert_array_equal(again.encode_one(record)[0], row)
        assert np.isfinite(row).all()


def test_the_logarithm_does_not_depend_on_the_unit_or_on_repeated_rows():
    frame, weights = skewed(), np.tile([1.0, 2.0], 200)
    matrices = [
        Encoding.of_cohort(table, w, native_missing=False, logs=True).encode(skewed(unit=unit))
        for table, w, unit in (
            (frame, weights, 1.0),
            (skewed(unit=1e-6), weights, 1e-6),
            (frame.loc[np.repeat(frame.index, weights.astype(int))], np.ones(600), 1.0),
        )
    ]
    for other in matrices[1:]:
        np.testing.assert_allclose(other, matrices[0], atol=1e-9)


def test_the_unit_of_a_logarithm_is_no_patient_s_own_value():
    frame = pd.DataFrame({"income": np.random.default_rng(3).lognormal(7, 1, 60)})  # all different
    encoding = Encoding.of_cohort(frame, np.ones(60), native_missing=False, logs=True)
    assert encoding.columns[0].log_unit > 0
    assert encoding.columns[0].log_unit not in set(frame["income"])
