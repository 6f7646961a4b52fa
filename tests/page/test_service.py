"""The status at the patient's own service, and beside it that of a new service."""

import re

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel.errors import InputError
from treatsel.page import strings_of

SAID = strings_of(None)["clinician"]
RECORD = {"severity": 14.0, "prior": 1}
OWN, NEW = "the patient's own service", "a new service"


@pytest.fixture(scope="module")
def selector():
    """Four services with effects of very different size, in which CBT is better."""
    rng = np.random.default_rng(0)
    n = 320
    X = pd.DataFrame({"severity": rng.normal(15, 4, n), "prior": rng.integers(0, 2, n)})
    X["arm"], site = rng.choice(["CBT", "IPT", "TAU"], n), rng.integers(0, 4, n)
    X["site"] = [f"S{each}" for each in site]
    logit = -0.4 + 1.5 * (X["arm"] == "CBT") + np.linspace(-1.5, 1.5, 4)[site] - 0.05 * (X["severity"] - 15)
    y = pd.Series((rng.random(n) < 1 / (1 + np.exp(-logit))).astype(int), name="remission")
    made = ts.TreatmentSelector(event_is_good=True, estimator="hierarchical", groups="site", random_state=0)
    return made.fit(X, y)


def services(text):
    """Rows of the table of services, without markup."""
    found = re.search(r'<table id="services">.*?<tbody>(.*?)</tbody>', text, re.DOTALL)
    rows = [] if found is None else found[1].strip().split("<tr>")[1:]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    return [[cell.replace("&#39;", "'") for cell in row] for row in cells]


@pytest.mark.parametrize("kind", [dict, lambda record: pd.DataFrame([record])])
def test_beside_a_known_service_stands_a_new_one(selector, kind):
    """With the numbers of `service="new"`, for a record and for a table, and with all other options."""
    given = kind({**RECORD, "site": "S3"})
    options = {"excluded": {"IPT": "Not offered here."}, "comparator": "TAU", "margin": 0.02}
    found, new = (selector.recommend(given, service=each, **options) for each in ("known", "new"))
    assert abs(found.utilities - new.utilities).max() > 0.1  # the service matters
    np.testing.assert_array_equal(found.at_new_service().utilities, new.utilities)
    expected = []
    for name, each in ((OWN, found), (NEW, new)):
        (row,) = each.table.to_dict("records")
        assert row["top"] == "CBT"
        expected.append([name, row["status"], "CBT", f"{np.floor(100 * row['p_better'] + 0.5):.0f} %"])
    text = found.to_html()
    assert services(text) == expected
    assert services(text)[0] != [OWN, *services(text)[1][1:]]
    assert 'id="at-service"' not in text


@pytest.mark.parametrize("record", [RECORD, {**RECORD, "site": "elsewhere"}, {**RECORD, "site": None}])
def test_for_an_unknown_service_the_page_says_that_it_is_a_new_one(selector, record):
    found = selector.recommend(record)
    assert found.at_new_service() is None
    text = found.to_html()
    assert services(text) == []
    assert SAID["at_service"]["new"].replace("'", "&#39;") in text
    np.testing.assert_array_equal(found.utilities, selector.recommend(record, service="new").utilities)


def test_the_average_service_is_named_and_models_without_services_say_nothing(selector, patient_of):
    found = selector.recommend({**RECORD, "site": "S3"}, service="average")
    assert found.at_new_service() is None
    assert SAID["at_service"]["average"] in found.to_html()
    other = patient_of(0).recommended()
    assert other.at_new_service() is None
    assert 'id="at-service"' not in other.to_html()
    assert services(other.to_html()) == []


def test_nothing_is_computed_unless_the_page_is_made(selector, monkeypatch):
    from treatsel.fitted import _records

    found, made = selector.recommend({**RECORD, "site": "S3"}), []
    original = _records.recommend
    monkeypatch.setattr(
        _records, "recommend", lambda *given: made.append(given[2].service) or original(*given)
    )
    selector.recommend({**RECORD, "site": "S3"})
    assert made == ["known"]
    found.to_html()
    assert made.count("new") == 1


def test_out_of_scope_nothing_is_compared(selector):
    found = selector.recommend({**RECORD, "severity": 900.0, "site": "S3"}, on_invalid="flag")
    assert found.columns["status"][0] == "out_of_scope"
    text = found.to_html()
    assert services(text) == []
    assert 'id="at-service"' not in text
    with pytest.raises(InputError, match="2 patients here"):
        selector.recommend(pd.DataFrame([RECORD] * 2)).at_new_service()
