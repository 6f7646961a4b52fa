import inspect
import pickle

import pytest

from treatsel import errors
from treatsel.errors import CohortError, Fault, TreatselError, TreatselWarning

FAULTS = [
    Fault(column="age", problem="holds 2 values out of range", remedy="Allowed: 18 to 90."),
    Fault(column="arm", problem="is missing from the table", remedy="Add it."),
]
KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_everything_raised_on_purpose_can_be_caught_as_one(kind):
    assert issubclass(kind, TreatselError | TreatselWarning)


def test_a_cohort_error_lists_its_faults_line_by_line():
    error = CohortError("It does not fit:", FAULTS)
    assert error.faults == tuple(FAULTS)
    assert str(error).splitlines() == [
        "It does not fit:",
        "- Column 'age' holds 2 values out of range. Allowed: 18 to 90.",
        "- Column 'arm' is missing from the table. Add it.",
    ]
    assert str(CohortError("Only this.")) == "Only this."


def test_a_cohort_error_of_many_faults_is_still_short():
    faults = [Fault(column="c" * 10_000, problem="is missing", remedy="Add it.") for _ in range(10_000)]
    error = CohortError("It does not fit:", faults)
    assert error.faults == tuple(faults)
    lines = str(error).splitlines()
    assert lines[-1] == "- and 9,950 more (attribute faults)."
    assert len(lines) == 52
    assert len(str(error)) < 10_000


def test_a_cohort_error_survives_pickling_between_processes():
    error = pickle.loads(pickle.dumps(CohortError("It does not fit:", FAULTS)))
    assert error.faults == tuple(FAULTS)
    assert str(error) == str(CohortError("It does not fit:", FAULTS))
