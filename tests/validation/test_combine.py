"""Combined reports: pooled as by hand, with a headline that allows for the selection of the best arm."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from treatsel.cli.main import main
from treatsel.datasets import make_cohort
from treatsel.errors import InputError
from treatsel.metrics import random_effects_meta_analysis, roc_auc
from treatsel.validation import combine, validate

ARMS = ["CBT", "IPT", "SSRI"]


def report_of(seed, n=400):
    part = make_cohort(n, random_state=seed, assignment="randomised")
    return validate(part.truth["dropout"], part.cohort, outcome="dropout", comparator="cbt", sections=())


@pytest.fixture(scope="module")
def reports():
    return {f"service {seed}": report_of(seed) for seed in (3, 4, 5)}


def drawn(report, rng, true, number, se=0.03, tau=0.0):
    """A report whose gains over each arm are drawn about their truth; the noise of the rule is shared."""
    own = rng.normal(0, se)
    rows = []
    for arm, gain in zip(ARMS, true, strict=True):
        value = gain + rng.normal(0, tau) + (own + rng.normal(0, se)) / np.sqrt(2)
        row = {"section": "gain", "measure": "gain over one arm for all patients", "group": arm, "n": 100}
        ends = {"value": value, "lower": value - 1.96 * se, "upper": value + 1.96 * se}
        rows.append(row | ends | {"n_events": 50.0, "method": "drawn"})
    base = report.figures[report.figures["measure"] == "base rate"]
    about = report.about | {"cohort": f"digest {number}"}
    return replace(report, figures=pd.concat([base, pd.DataFrame(rows)], ignore_index=True), about=about)


def test_estimates_are_pooled_on_their_own_scales(reports):
    found = combine(reports)
    parts = [make_cohort(400, random_state=seed, assignment="randomised") for seed in (3, 4, 5)]
    aucs = []
    for part in parts:
        y, table = part.cohort.y["dropout"], part.truth["dropout"]
        p = table.to_numpy()[np.arange(400), table.columns.get_indexer(part.cohort.received)]
        aucs.append(roc_auc(y, p))
    scaled = [logit([each.value, each.lower, each.upper]) for each in aucs]
    se = [(each[2] - each[1]) / (2 * 1.959963985) for each in scaled]
    expected = random_effects_meta_analysis(
        [each[0] for each in scaled], se, scale="logit", interval="hk_adhoc"
    )
    row = found.to_frame().set_index("measure").loc["AUC"]
    assert row[["value", "lower", "upper"]].tolist() == pytest.approx(
        [expected.value, expected.lower, expected.upper], rel=1e-6
    )
    assert row["n"] == 1200
    assert found.meta_analysis("AUC").n_sites == 3
    assert len(found.reports) == 3
    assert found.plot("AUC").get_xlabel().startswith("AUC")


def test_the_headline_claims_a_gain_in_at_most_a_fortieth_without_one(reports):
    """One arm is as good as the rule; the others are worse, so that gains over them are real."""
    rng, base, claims, covered = np.random.default_rng(0), reports["service 3"], [], []
    for _ in range(80):
        made = {f"{k}": drawn(base, rng, [0.0, 0.05, 0.1], k) for k in range(6)}
        gain = combine(made).gain
        claims.append(gain["lower"] > 0)
        covered.append(gain["lower"] <= 0 <= gain["upper"])
    assert np.mean(claims) <= 0.025 + 3 * 0.0175
    assert np.mean(covered) >= 0.95 - 3 * 0.0244


def test_a_gain_over_every_arm_is_claimed(reports):
    rng, base = np.random.default_rng(1), reports["service 3"]
    found = combine([drawn(base, rng, [0.1, 0.12, 0.2], k, tau=0.01) for k in range(8)])
    assert found.gain["lower"] > 0
    assert found.gain["arm"] in ("CBT", "IPT")
    assert "a gain is shown" in found.headline


def test_reports_that_do_not_fit_are_refused(reports):
    first = reports["service 3"]
    with pytest.raises(InputError, match="1 report to combine"):
        combine([first])
    with pytest.raises(InputError, match="same patients"):
        combine({"a": first, "b": first})
    with pytest.raises(InputError, match="differ in level"):
        combine([first, replace(reports["service 4"], level=0.9)])
    with pytest.raises(InputError, match="ValidationReport"):
        combine([first, first.figures])


def test_gains_over_different_arms_are_not_pooled(reports):
    other = reports["service 4"]
    other = replace(other, gain=replace(other.gain, comparator_arm="ipt"))
    found = combine({**reports, "service 4": other})
    assert "gain over the best single arm" not in set(found.to_frame()["measure"])
    assert "different arms" in dict(found.not_pooled)["gain over the best single arm"]
    assert found.gain["n_arms"] == 6


def test_the_command_writes_table_and_page(reports, tmp_path, capsys):
    files = []
    for name, report in reports.items():
        files.append(str(tmp_path / f"{name}.json"))
        report.to_json(files[-1])
    out, html = tmp_path / "pooled.csv", tmp_path / "pooled.html"
    assert main(["combine", *files, "--out", str(out), "--html", str(html)]) == 0
    assert "3 reports" in capsys.readouterr().out
    assert (pd.read_csv(out)["n_reports"] == 3).all()
    text = html.read_text()
    assert text.count("<svg") == 5
    assert "service 4" in text
    assert main(["combine", files[0]]) == 2
    (tmp_path / "more").mkdir()
    reports["service 3"].to_json(tmp_path / "more" / "service 3.json")
    assert main(["combine", files[0], str(tmp_path / "more" / "service 3.json")]) == 2
