import numpy as np
import pandas as pd
import pytest

from treatsel._checks import (
    check_binary,
    check_by_arm,
    check_choice,
    check_known_arms,
    check_level,
    check_mapping_keys,
    check_number,
    check_probability,
    check_same_length,
    check_unique,
    check_vector,
    check_weights,
)
from treatsel.errors import InputError

NAN = float("nan")


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        (1.0, 2.0, 3.0),
        np.array([1, 2, 3], dtype="int8"),
        pd.Series([1, 2, 3], index=["a", "b", "c"]),
        pd.Series([1, 2, 3], dtype="Int64"),
        pd.Series([1, 2, 3], dtype="category"),
        pd.Index([1, 2, 3]),
    ],
    ids=lambda values: f"{type(values).__name__} {getattr(values, 'dtype', '')}",
)
def test_vectors_of_any_kind_become_floats(values):
    vector = check_vector("x", values)
    assert isinstance(vector, np.ndarray)
    assert vector.dtype == np.float64
    assert vector.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "values", [[1, None], pd.Series([1, None], dtype="Int64"), pd.Series([True, None])], ids=repr
)
def test_missing_values_pass_only_when_allowed(values):
    np.testing.assert_array_equal(check_vector("x", values, allow_missing=True), [1, NAN])
    np.testing.assert_array_equal(check_binary("x", values, allow_missing=True), [1, NAN])
    with pytest.raises(InputError, match=r"x holds 1 missing value. Leave out such patients, or impute"):
        check_vector("x", values)
    with pytest.raises(InputError, match="1 missing"):
        check_binary("x", values)


@pytest.mark.parametrize(
    ("check", "values", "message"),
    [
        (check_vector, ["a", 987654], "x must hold numbers only. Convert it first"),
        (check_vector, [[1], [2, 3]], "x must hold numbers only"),
        (check_vector, pd.to_datetime(pd.Series(["2020-01-01"])), "x must hold numbers only"),
        (check_vector, [[987654]], r"one-dimensional; it has shape \(1, 1\)"),
        (check_vector, 987654, r"one-dimensional; it has shape \(\)"),
        (check_vector, pd.DataFrame({"a": [1]}), r"one-dimensional; it has shape \(1, 1\)"),
        (check_vector, [987654, np.inf, -np.inf], "x holds 2 infinite values; only finite"),
        (check_binary, [0, 1, 987654, 0.5], "x holds 2 values that are neither 0 nor 1. Code the outcome"),
        (check_probability, [0, 1, 987654, -0.1], "x holds 2 values outside 0 to 1.*not percent"),
        (check_probability, [0.5, NAN], "x holds 1 missing"),
    ],
)
def test_bad_vectors_are_refused_without_their_values(check, values, message):
    with pytest.raises(InputError, match=message) as error:
        check("x", values)
    assert "987654" not in str(error.value)


def test_good_vectors_pass():
    assert check_binary("x", [True, 0, 1.0]).tolist() == [1, 0, 1]
    assert check_probability("x", [0, 0.5, 1]).tolist() == [0, 0.5, 1]
    assert check_vector("x", []).shape == (0,)


def test_the_given_array_is_not_changed_through_the_result():
    given = np.array([1.0, 2.0])
    series = pd.Series([1.0, 2.0])
    for values in (given, series):
        check_vector("x", values)
        assert list(values) == [1, 2]


def test_weights():
    assert check_weights("w", None, 3).tolist() == [1, 1, 1]
    assert check_weights("w", [0, 2], 2).tolist() == [0, 2]
    with pytest.raises(InputError, match="Lengths differ: w 2, the outcomes 3"):
        check_weights("w", [1, 2], 3)
    for weights in ([0, 0], [1, -1]):
        with pytest.raises(InputError, match="w must not be negative and must not all be zero"):
            check_weights("w", weights, 2)


def test_same_length():
    check_same_length(a=[1], b=np.ones(1), c=pd.Series([1]))
    with pytest.raises(InputError, match="Lengths differ: a 1, b 2"):
        check_same_length(a=[1], b=[1, 2])


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, NAN])
def test_levels_lie_between_zero_and_one(level):
    assert check_level(0.95) == 0.95
    with pytest.raises(InputError, match="must lie between 0 and 1, for example"):
        check_level(level)


@pytest.mark.parametrize(
    "value", ["0.95", None, [0.95], True, np.True_, pd.NA, np.array([0.95, 0.9])], ids=repr
)
def test_non_numbers_are_refused_with_a_message(value):
    with pytest.raises(InputError, match=f"level must be a number; it is a {type(value).__name__}"):
        check_level(value)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), np.float64(0.5), np.int8(1)], ids=repr)
def test_numbers_of_any_kind_pass(value):
    assert check_number("x", value) is value


def test_choices():
    assert check_choice("rule", "expected", iter(["expected", "switch"])) == "expected"
    with pytest.raises(
        InputError, match=r"rule is 'suported'; it must be 'a', 'b' or 'supported'\. Did you mean 'supp"
    ):
        check_choice("rule", "suported", ["a", "b", "supported"])
    with pytest.raises(InputError, match=r"rule is None; it must be 'a'\.$"):
        check_choice("rule", None, ["a"])
    with pytest.raises(InputError, match="rule is 'x'; it must be 1 or 2"):
        check_choice("rule", "x", [1, 2])


def test_mapping_keys():
    check_mapping_keys("weights", {"remission": 1}, ["remission", "dropout"])
    check_mapping_keys("weights", {}, [])
    with pytest.raises(
        InputError, match=r"weights has the unknown key 'remision'; allowed: .*Did you mean 'remission'"
    ):
        check_mapping_keys("weights", {"remision": 987654}, ["remission"])


def test_unique():
    check_unique("The arms", ["a", "b"])
    check_unique("The arms", iter([]))
    with pytest.raises(InputError, match="The arms hold 2 duplicates"):
        check_unique("The arms", ["a", "a", "b", "a"])


def test_by_arm_table_keeps_patients_and_arms():
    table = pd.DataFrame({"SSRI": [0, 1], "CBT": [0.25, 0.5]}, index=["p2", "p1"])
    checked = check_by_arm("table", table)
    pd.testing.assert_frame_equal(checked, table.astype("float64"))
    checked.loc["p1", "CBT"] = 9
    assert table.loc["p1", "CBT"] == 0.5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[0.5]], "table must be a DataFrame of patients by arms; it is a list"),
        (pd.DataFrame(), r"table is empty \(0 patients, 0 arms\)"),
        (pd.DataFrame({"a": []}), r"table is empty \(0 patients, 1 arm\)"),
        (pd.DataFrame(index=[1, 2]), r"table is empty \(2 patients, 0 arms\)"),
        (pd.DataFrame([[0.5, 0.5]], columns=["a", "a"]), "columns of table hold 1 duplicate"),
        (pd.DataFrame({"a": [0.5], "b": [50]}), "Column 'b' of table holds 1 value outside 0 to 1"),
        (pd.DataFrame({"a": [NAN]}), "Column 'a' of table holds 1 missing"),
        (pd.DataFrame({"a": ["x"]}), "Column 'a' of table must hold numbers only"),
    ],
)
def test_bad_by_arm_tables_are_refused(table, message):
    with pytest.raises(InputError, match=message):
        check_by_arm("table", table)


def test_known_arms():
    received = pd.Series(["CBT", "IPT", "TAU", "IPT"], name="arm", index=[4, 3, 2, 1])
    assert check_known_arms(received, ["IPT", "CBT", "TAU", "SSRI"]) is received
    with pytest.raises(
        InputError, match="Column 'arm' holds 3 patients of arms unknown to this model"
    ) as error:
        check_known_arms(received, iter(["CBT", "SSRI"]))
    assert "['IPT', 'TAU']. Its arms are ['CBT', 'SSRI']. Rename the arms" in str(error.value)
    with pytest.raises(InputError, match="holds 1 patient of arms"):
        check_known_arms(pd.Series(["CBT", None], name="arm"), ["CBT"])
