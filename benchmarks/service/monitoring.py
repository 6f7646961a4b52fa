"""False-alarm rate of monitoring, and time to a true alarm.

    python -m benchmarks.service.monitoring [--models 10] [--reports 20]

First table: the sequential test of calibration on simulated outcomes whose probabilities are known. Share of
runs with an alarm within 4,000 patients, and the median and 90th percentile of the number of patients from
a change to the alarm. Second table: whole reports on new patients from the process to which the model was
fitted (`make_cohort`, the same services), and on patients with one change.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from treatsel import TreatmentSelector
from treatsel.datasets import make_cohort
from treatsel.errors import TreatselWarning
from treatsel.monitoring import monitor, sequential_calibration_test

RATE = 0.05
N_RUN = 4000


def run(random: np.random.Generator, shift: float, since: int, rate: float) -> int | None:
    """Return the number of patients until the sequential test gives an alarm, if it does.

    From patient `since` on, the outcome is more frequent than predicted by `shift`; predictions have a
    mean of 40% and an SD of 1 on the logit.
    """
    p = expit(logit(0.4) + random.normal(size=N_RUN))
    truth = np.clip(p + np.where(np.arange(N_RUN) < since, 0, shift), 0, 1)
    y = (random.random(N_RUN) < truth).astype(float)
    return sequential_calibration_test(y, p, false_alarm_rate=rate).alarm_at


def sequential_table(n_runs: int) -> pd.DataFrame:
    """Return one row per shift and time of the change."""
    random, rows = np.random.default_rng(1), []
    for shift, since in [
        (0, 0),
        (0.02, 0),
        (0.05, 0),
        (-0.1, 0),
        (0.1, 0),
        (0.1, 1000),
        (-0.1, 3000),
        (0.2, 0),
    ]:
        found = [run(random, shift, since, RATE / 3) for _ in range(n_runs)]
        late = [at - since for at in found if at is not None and at > since]
        rows.append(
            {
                "shift": shift,
                "since": since,
                "alarm": np.mean([at is not None for at in found]),
                "false": np.mean([at is not None and (at <= since or not shift) for at in found]),
                "median delay": np.median(late) if late else np.nan,
                "90 % within": np.quantile(late, 0.9) if late else np.nan,
            }
        )
    return pd.DataFrame(rows)


def changed(X: pd.DataFrame, y: pd.Series, what: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return patients with one change."""
    X, y, random = X.copy(), y.copy(), np.random.default_rng(0)
    if what == "age + 0.25 SD":
        X["age"] += np.round(0.25 * X["age"].std())
    elif what == "10 % more missing":
        X.loc[random.random(len(X)) < 0.1, "wsas_start"] = np.nan
    elif what == "categories":
        X.loc[random.random(len(X)) < 0.1, "employment"] = "unemployed"
    elif what == "outcome + 10 points":
        y = y.mask((y == 0) & (random.random(len(y)) < 0.1 / (1 - y.mean())), 1.0)
    return X, y


SECTIONS = ("covariates", "warnings", "calibration", "sequential test")
CHANGES = ["nothing", "age + 0.25 SD", "10 % more missing", "categories", "outcome + 10 points"]


def reports_table(n_models: int, n_reports: int, n: int) -> pd.DataFrame:
    """Return the share of reports with any alarm, by family, per kind of change."""
    rows = []
    for seed in range(n_models):
        cohort = make_cohort(2000 + n_reports * n, missing=0.05, random_state=seed).cohort
        X, y = cohort.X, cohort.y["dropout"]
        selector = TreatmentSelector(event_is_good=False, estimator="hierarchical", random_state=0)
        selector.fit(X[:2000], y[:2000])
        for k in range(n_reports):
            part = slice(2000 + k * n, 2000 + (k + 1) * n)
            for what in CHANGES if k < 2 else CHANGES[:1]:
                report = monitor(selector, *changed(X[part], y[part], what), false_alarm_rate=RATE)
                sections = set(report.alarms["section"])
                row = {name: name in sections for name in SECTIONS}
                rows.append({"change": what, "any": bool(sections), **row})
    table = pd.DataFrame(rows).groupby("change", sort=False).mean()
    return table.assign(reports=pd.DataFrame(rows).groupby("change").size())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--reports", type=int, default=20)
    parser.add_argument("--patients", type=int, default=600, help="in each report")
    args = parser.parse_args()
    warnings.simplefilter("ignore", TreatselWarning)
    print(f"Sequential test at rate {RATE / 3:.4f}, tolerance 0.02\n")
    print(sequential_table(args.runs).round(3).to_string(index=False))
    print(f"\nReports on {args.patients} patients at rate {RATE}: share with an alarm\n")
    print(reports_table(args.models, args.reports, args.patients).round(3).to_string())


if __name__ == "__main__":
    main()
