"""Every code of a warning has a sentence, or a stated reason to have none."""

import pytest

from treatsel.predictions import OUT_OF_SCOPE_CODES, WARNING_CODES, applicability_of

SILENT = {"safety_item", "safety_item_invalid", "safety_item_missing", "normalized_text", "unknown_key"}


@pytest.mark.parametrize("code", WARNING_CODES)
def test_every_code_has_a_sentence(code):
    found = applicability_of({"patient": ["a"], "code": [code], "column": ["age"]}, {"age": "Age in years"})
    assert {patient for patient, _ in found} == (set() if code in SILENT else {"a"})
    assert len(found) == (0 if code in SILENT else 1 + (code in OUT_OF_SCOPE_CODES))
    assert all(text.endswith(".") and "{" not in text for _, text in found)


def test_sentences_are_grouped_by_patient_and_in_a_fixed_order():
    flags = {
        "patient": ["b", "a", "b", "b", "b"],
        "code": [
            "missing_covariate",
            "low_propensity",
            "missing_covariate",
            "low_propensity",
            "out_of_range",
        ],
        "column": ["x", 3, "y", "CBT", "z"],
    }
    found = applicability_of(flags, {"x": "X"})
    assert [patient for patient, _ in found] == ["b"] * 4 + ["a"]
    assert [text for _, text in found][1:] == [
        "The value of z is outside the range that is possible for it.",
        "Patients like this one hardly ever received CBT: what the model says of it is extrapolated.",
        "Not known: X, y.",
        "Patients like this one hardly ever received 3: what the model says of it is extrapolated.",
    ]
