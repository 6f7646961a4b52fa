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


def learn(frame=FRAME, weights=None, native=False):
    return Encoding.learn(frame, np.ones(len(frame)) if weights is None else weights, native_missing=native)


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


def test_a_constant_is_not_blown_up_by_rounding():
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
