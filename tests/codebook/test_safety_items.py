"""Safety items: declared with a threshold, checked in records and tables alike, and never a covariate."""

import numpy as np
import pandas as pd
import pytest

from treatsel import Cohort
from treatsel.codebook import SAFETY_CODES, Codebook, Field, RecordReader, clean_covariates
from treatsel.errors import CodebookError, CohortError

ITEM = {"name": "item9", "type": "integer", "role": "safety_item", "flag": ">= 1"}
ITEM = ITEM | {"constraints": {"minimum": 0, "maximum": 3}}
AGE = {"name": "age", "type": "number", "role": "covariate"}
NO_RANGES = pd.DataFrame(columns=["lower", "upper"], dtype="float64")


def book(*items):
    return Codebook.from_dict({"fields": [AGE, *(items or (ITEM,))], "missingValues": ["", "NA"]})


def of_record(codebook, on_invalid="flag", **answers):
    reader = RecordReader(codebook=codebook, ranges={})
    return reader.read({"age": 40.0, **answers}, on_invalid)[1]


def of_table(codebook, on_invalid="flag", **answers):
    frame = pd.DataFrame([{"age": 40.0, **answers}], dtype="object")
    found = clean_covariates(frame, codebook, NO_RANGES, on_invalid)[1]
    return list(zip(found["code"], found["column"], strict=True))


@pytest.mark.parametrize(
    ("answer", "codes"),
    [
        *((value, []) for value in (0, "0", 0.0)),
        *((value, ["safety_item"]) for value in (1, "1", 3.0, np.int64(2))),
        *((value, ["safety_item_missing"]) for value in (None, "", "NA", np.nan, pd.NA)),
        *((value, ["safety_item_invalid"]) for value in ("often", -1, True, [1])),
        *((value, ["safety_item", "safety_item_invalid"]) for value in (7, 1.5, "9", 10**400)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_answer_has_the_same_codes_in_a_record_and_in_a_table(answer, codes):
    expected = [(code, "item9") for code in codes]
    assert of_record(book(), item9=answer) == expected
    assert of_table(book(), item9=answer) == expected


@pytest.mark.parametrize(
    ("flag", "flagged"),
    [("< 1", [0]), ("<= 1", [0, 1]), ("> 1", [2, 3]), (">= 1", [1, 2, 3]), ("<= -1", []), (">2.5", [3])],
)
def test_the_direction_is_that_of_the_comparison(flag, flagged):
    codebook = book(ITEM | {"flag": flag})
    for found_in in (of_record, of_table):
        assert [k for k in range(4) if found_in(codebook, item9=k) == [("safety_item", "item9")]] == flagged


def test_a_question_with_yes_and_no():
    codebook = book(
        {
            **{"name": "plans", "type": "boolean", "role": "safety_item", "flag": "> 0"},
            **{"trueValues": ["yes"], "falseValues": ["no"]},
        }
    )
    for found_in in (of_record, of_table):
        assert found_in(codebook, plans="yes") == [("safety_item", "plans")]
        assert found_in(codebook, plans="no") == []


def test_an_absent_item_and_one_that_is_spelled_differently():
    for found_in in (of_record, of_table):
        assert found_in(book()) == [("safety_item_missing", "item9")]
        assert found_in(book(), **{"item9 ": 2}) == [("safety_item", "item9"), ("normalized_text", "item9")]


def test_warnings_of_safety_items_come_first_and_the_flagged_ones_before_the_others():
    codebook = book(ITEM, ITEM | {"name": "harm"})
    expected = ["safety_item", "safety_item_missing", "missing_covariate"]
    for found_in in (of_record, of_table):
        codes = [code for code, _ in found_in(codebook, age=None, item9=None, harm=2)]
        assert codes == expected
    assert of_record(codebook, age=None, item9=None, harm=2)[0] == ("safety_item", "harm")


@pytest.mark.parametrize("found_in", [of_record, of_table])
def test_a_wrong_answer_is_an_error_that_does_not_show_it(found_in):
    with pytest.raises(
        CohortError, match=r"'item9' holds 1 value out of range\. Allowed: an integer"
    ) as error:
        found_in(book(), on_invalid="raise", item9=73)
    assert "73" not in str(error.value)
    assert found_in(book(), on_invalid="raise", item9=3) == [("safety_item", "item9")]
    required = ITEM | {"constraints": {"required": True}}
    assert found_in(book(required), on_invalid="raise", item9=None) == [("safety_item_missing", "item9")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flag": None}, "a safety item needs flag"),
        ({"flag": 1}, "a safety item needs flag"),
        ({"flag": "1"}, "a safety item needs flag"),
        ({"flag": "> median"}, "a safety item needs flag"),
        ({"type": "string", "constraints": None}, "use type integer, number or boolean"),
        ({"role": "covariate"}, "flag needs role safety_item"),
    ],
)
def test_what_contradicts_itself_is_refused(change, message):
    entry = {key: value for key, value in {**ITEM, **change}.items() if value is not None}
    with pytest.raises(CodebookError, match=message):
        Field.from_dict(entry)


def test_it_is_written_and_read(tmp_path):
    for name in ("book.yaml", "book.json"):
        book().write(tmp_path / name)
        assert Codebook.read(tmp_path / name) == book()
    assert book()["item9"].flag == ">= 1"
    assert book().covariates == ("age",)


def test_a_cohort_checks_it_if_it_is_there_and_never_passes_it_on():
    fields = [*book().to_dict()["fields"], {"name": "arm", "role": "arm"}]
    codebook = Codebook.from_dict({"fields": fields})
    frame = pd.DataFrame({"age": [40.0, 50.0], "item9": [0, 3], "arm": ["A", "B"]})
    assert list(Cohort(frame, codebook).X) == ["age", "arm"]
    assert list(Cohort(frame.drop(columns="item9"), codebook).frame) == ["age", "arm"]
    with pytest.raises(CohortError, match="'item9' holds 1 value out of range"):
        Cohort(frame.assign(item9=[0, 4]), codebook)


def test_the_codes_have_a_fixed_order():
    assert SAFETY_CODES == ("safety_item", "safety_item_invalid", "safety_item_missing")
