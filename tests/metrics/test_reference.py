"""Every check of every ``*_expected.json`` in a folder: values of R and Python packages on fixed data.

The folder is `tests/reference/validation`, or that of the variable TREATSEL_REFERENCE. `rules/` holds a rule
for each id, by topic; an id without one fails. Parts that follow another convention, and checks that cannot
apply, state the reason.
"""

import re
import warnings

import pytest
from tests.metrics.rules import (
    _reference,
    benefit,
    calibration,
    overall,
    sample_size,
    sites,
    updating,
    utility,
    weighted,
)
from tests.metrics.rules._reference import (
    AbsentError,
    Different,
    Reference,
    compare,
    is_missing,
    only_ours,
    paths,
    put_reason,
    rule_for,
)

from treatsel.errors import InputError, TreatselWarning

TOPICS = (overall, calibration, utility, benefit, sites, updating, sample_size, weighted)
RULES = {pattern: rule for topic in TOPICS for pattern, rule in topic.RULES.items()}
INFINITE = (
    "predictions of 0 and 1 have no logit: the original gives no number; ours count as 1e-8 and 1 - 1e-8"
)
REFERENCES = {reference.name: reference for reference in map(Reference, paths())}
RESAMPLED = r"optimism\.rms_validate|flex_\w+_boot_ci"
CASES = [
    pytest.param(
        *(name, check),
        id=f"{name}-{check}",
        marks=[pytest.mark.slow] if re.fullmatch(RESAMPLED, check) else [],
    )
    for name, reference in REFERENCES.items()
    for check in reference.checks
]


def test_the_folder_contains_references():
    assert CASES, f"no *_expected.json in {_reference.FOLDER}"


@pytest.mark.parametrize(("name", "check"), CASES)
def test_value_of_another_package(name, check):
    reference = REFERENCES[name].weighted_as(check)
    entry = reference.checks[check]
    found = answer(reference, check, entry)
    if isinstance(found, Different):
        pytest.skip(f"cannot apply: {found.reason}")
    compare(found, entry["value"], entry["tol"], check)


def answer(reference, check, entry):
    """Our answer, with reasons where the other package gives none or the data set lacks what is needed."""
    matched = rule_for(RULES, check)
    assert matched is not None, f"no rule for {check!r}"
    rule, groups = matched
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TreatselWarning)  # of predictions of 0 and 1: tested elsewhere
            found = rule(reference, **groups)
    except AbsentError as reason:
        return Different(str(reason))
    except InputError:
        if entry["value"] is not None:
            raise
        found = None
    if isinstance(found, Different):
        return found
    if entry["value"] is None:
        return None if is_missing(found) else Different(reference.refusal(check))
    return put_reason(found, entry["value"], only_ours, INFINITE) if reference.has_extremes else found


def test_no_two_rules_claim_the_same_id():
    patterns = [pattern for topic in TOPICS for pattern in topic.RULES]
    assert len(patterns) == len(set(patterns))
