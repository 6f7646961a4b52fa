import pickle

import numpy as np
import pandas as pd
import pytest

from treatsel.errors import InputError
from treatsel.instrument import Band, Instrument, match_patients, match_scores

CONSTANTS = {  # case, reliable change, its level, remission; None = published sources differ
    "PHQ-9": ((0, 27), 10, 6, None, 4),
    "GAD-7": ((0, 21), 8, 4, None, None),
    "QIDS-SR16": ((0, 27), None, None, None, 5),
    "HAM-D17": ((0, 52), None, None, None, 7),
    "CORE-10": ((0, 40), 11, 6, 0.9, None),
    "CORE-OM": ((0, 40), 10, None, None, None),
    "WSAS": ((0, 40), None, None, None, None),
    "BDI-II": ((0, 63), None, None, None, None),
    "MADRS": ((0, 60), None, None, None, None),
    "OQ-45": ((0, 180), None, 14, None, None),
    "PCL-5": ((0, 80), None, None, None, None),
}
ATTRIBUTES = ("bands", "case_cutoff", "reliable_change", "reliable_change_level", "remission_maximum")
BAND_EDGES = [  # both edges of every band
    ("PHQ-9", [0, 4, 5, 9, 10, 14, 15, 19, 20, 27], "minimal,mild,moderate,moderately severe,severe"),
    ("GAD-7", [0, 4, 5, 9, 10, 14, 15, 21], "minimal,mild,moderate,severe"),
    ("QIDS-SR16", [0, 5, 6, 10, 11, 15, 16, 20, 21, 27], "none,mild,moderate,severe,very severe"),
    ("BDI-II", [0, 13, 14, 19, 20, 28, 29, 63], "minimal,mild,moderate,severe"),
]


def own(**changes):
    settings = {"name": "X", "title": "Own", "minimum": 0, "maximum": 10, "direction": "lower is better"}
    return Instrument(**(settings | changes))


def test_all_instruments_ship():
    assert Instrument.names() == tuple(CONSTANTS)


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_the_published_ones(name):
    found = Instrument.get(name)
    constants = (
        found.case_cutoff,
        found.reliable_change,
        found.reliable_change_level,
        found.remission_maximum,
    )
    assert ((found.minimum, found.maximum), *constants) == CONSTANTS[name]
    assert found.direction == "lower is better"


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_number_has_a_source_and_every_source_a_number(name):
    found = Instrument.get(name)
    filled = {"range", *(a for a in ATTRIBUTES if getattr(found, a) not in (None, ()))}
    assert set(found.sources) == filled
    assert all(citations and all(citations) for citations in found.sources.values())
    for attribute in filled - {"range", "reliable_change_level"}:
        assert len(found.sources[attribute]) >= 2, f"{attribute} rests on one source"


@pytest.mark.parametrize("spelled", ["PHQ-9", "phq9", "Phq 9", "phq_9"])
def test_lookup_ignores_case_and_punctuation(spelled):
    assert Instrument.get(spelled).name == "PHQ-9"


def test_an_instrument_is_returned_unchanged():
    mine = own()
    assert Instrument.get(mine) is mine


@pytest.mark.parametrize(
    ("spelled", "meant"), [("phq8", "PHQ-9"), ("QIDS", "QIDS-SR16"), ("hamd", "HAM-D17")]
)
def test_unknown_instrument_gets_a_hint(spelled, meant):
    with pytest.raises(InputError, match=f"included ones are PHQ-9, .*Did you mean '{meant}'"):
        Instrument.get(spelled)


def test_unknown_instrument_without_similar_names_gets_the_list_only():
    with pytest.raises(InputError, match=r"PCL-5\.$"):
        Instrument.get("zzz")


@pytest.mark.parametrize(("name", "scores", "labels"), BAND_EDGES)
def test_bands_include_both_edges(name, scores, labels):
    expected = [label for label in labels.split(",") for _ in range(2)]
    assert Instrument.get(name).band(scores).tolist() == expected


def test_bands_keep_index_order_and_missing_scores():
    scores = pd.Series([20, None, 4.5], index=["a", "b", "c"], name="phq9")
    bands = Instrument.get("PHQ-9").band(scores)
    assert list(bands.index) == ["a", "b", "c"]
    assert bands.name == "phq9"
    assert bands["b"] is np.nan
    assert bands["c"] == "minimal"
    assert bands["a"] == bands.max() == "severe"


def test_error_about_bands_lists_instruments_that_have_them():
    with pytest.raises(InputError, match=r"WSAS has no bands.*PHQ-9, GAD-7, QIDS-SR16, BDI-II"):
        Instrument.get("WSAS").band([5])


def test_a_missing_constant_is_refused():
    with pytest.raises(InputError, match=r"GAD-7 has no remission_maximum.*Use PHQ-9, QIDS-SR16, HAM-D17"):
        Instrument.get("GAD-7").require("remission_maximum")
    with pytest.raises(InputError, match="constant is 'bands'"):
        Instrument.get("GAD-7").require("bands")


def test_scores_out_of_range_are_counted_and_never_shown():
    with pytest.raises(InputError, match="phq9 holds 2 scores outside 0 to 27") as error:
        Instrument.get("PHQ-9").check_scores("phq9", [27, 28.375, -1.625, np.nan])
    assert "28" not in str(error.value)
    assert "1.625" not in str(error.value)


@pytest.mark.parametrize("scores", [["a"], [[1, 2]], 5, [np.inf], None])
def test_scores_that_are_not_a_vector_of_numbers_are_refused(scores):
    with pytest.raises(InputError, match="last"):
        Instrument.get("PHQ-9").check_scores("last", scores)


def test_nullable_integers_are_scores():
    scores = pd.Series([3, None], dtype="Int64", index=[7, 8], name="phq9")
    expected = pd.Series([3.0, np.nan], index=[7, 8], name="phq9")
    pd.testing.assert_series_equal(Instrument.get("PHQ-9").check_scores("phq9", scores), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"maximum": 0}, "minimum must be below maximum"),
        ({"direction": "up"}, "direction is 'up'"),
        ({"case_cutoff": 11}, "case_cutoff 11 lies outside 0 to 10"),
        ({"remission_maximum": -1}, "remission_maximum -1 lies outside"),
        ({"case_cutoff": 5, "direction": "higher is better"}, "case_cutoff needs"),
        ({"reliable_change": 0}, "reliable_change must be positive"),
        ({"reliable_change": 2, "reliable_change_level": 90}, "level is 90"),
        ({"bands": (Band(label="low", minimum=0, maximum=4),)}, "bands must ascend"),
        (
            {"bands": (Band(label="low", minimum=0, maximum=5), Band(label="high", minimum=5, maximum=10))},
            "bands must ascend",
        ),
        (
            {"bands": (Band(label="low", minimum=0, maximum=4), Band(label="high", minimum=7, maximum=10))},
            "bands must ascend",
        ),
    ],
)
def test_an_instrument_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        own(**changes)


def test_instruments_are_values():
    phq9 = Instrument.get("PHQ-9")
    assert pickle.loads(pickle.dumps(phq9)) == phq9
    assert len({phq9, Instrument.get("phq9")}) == 1
    with pytest.raises(AttributeError):
        phq9.case_cutoff = 5


def test_series_are_matched_by_index_and_arrays_by_position():
    first = pd.Series([1, 2, 3], index=["a", "b", "c"])
    matched = match_patients(first=first, last=first[["c", "a", "b"]], extra=[7, 8, 9])
    assert matched.loc["c"].tolist() == [3, 3, 9]
    assert list(match_patients(first=[1], last=[2]).index) == [0]


def test_patients_that_do_not_match_are_refused():
    first = pd.Series([1, 2], index=["a", "b"])
    with pytest.raises(InputError, match=r"last \(column 'phq9'\) holds different patients"):
        match_patients(first=first, last=pd.Series([1, 2], index=["a", "x"], name="phq9"))
    with pytest.raises(InputError, match="different patients"):
        match_patients(first=first, last=pd.Series([1, 2], index=["a", "a"]))
    with pytest.raises(InputError, match="Lengths differ"):
        match_patients(first=first, last=[1])


def test_scores_without_an_instrument_must_not_be_negative():
    with pytest.raises(InputError, match="last holds 1 negative score"):
        match_scores(last=([-1, 2], None))
