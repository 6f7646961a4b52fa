"""RESULTS.md from the raw results: means over seeds, per method and number of patients."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.selection.methods import METHODS, OURS
from benchmarks.selection.peer_worker import METHODS as PEERS
from benchmarks.selection.processes import HELD_BACK, PROCESSES

ORDER = [*(method.name for method in METHODS), *PEERS]
YARDSTICKS = ("EconML DRLearner, linear", "EconML DRLearner, LightGBM", "EconML CausalForestDML")
INTRO = """# Treatment selection on simulated processes

Written by `python -m benchmarks.selection`; do not edit. Outcome 1 is good. Every method learns from the
same patients, is judged by the truth about 5,000 new ones, and has one thread. Means over processes and
seeds; in brackets the number of cells (process x seed) where a method has run fewer than others did: then
its row does not compare.

- **gain**: true rate of the good outcome under the recommendations less that of the best single arm, the
  one with the highest mean true probability in the test patients. **Fraction**: gain over the oracle's gain.
- **RMSE** of the probabilities, all arms together; **PEHE**: RMSE of the differences, all pairs of arms.
- **calibration slope**: logistic regression of the outcome on the predicted logit, all arms together, with
  the true probability as a fractional outcome.
- **coverage** and mean **width** of 95 % intervals, first 1,000 test patients: arms, and all differences.
- **promised minus delivered**: gain as the model sees it (over the arm it takes for the best) less the gain.
- EconML and CausalML give differences and no probabilities: no RMSE, slope or coverage for them.
- The script resumes, so rows may stem from several runs: compare gains, but times only roughly.
- On `sites` the oracle knows no site, but the truth does: nobody can have an RMSE near 0.
"""
CHANGES = {
    "changed_by_seed": "other seed",
    "changed_by_order": "other names and order of arms",
    "changed_by_patient": "one patient less",
}


def write_results(
    path: Path, cells: pd.DataFrame, stability: pd.DataFrame, versions: Mapping[str, str]
) -> None:
    """Write the report from all available rows.

    Parameters
    ----------
    path : Path
        Of the report.
    cells, stability : DataFrame
        Raw results.
    versions : mapping of str to str
        Version of each library.
    """
    held = cells["process"].isin([process.name for process in HELD_BACK])
    parts = [INTRO, described(cells), f"Versions: {', '.join(f'{k} {v}' for k, v in versions.items())}.\n"]
    parts += report(cells[~held], "")
    parts += stability_tables(stability)
    if held.any():
        note = "Nothing was tuned on these processes.\n"
        parts += ["# Processes that were kept back\n", note, *report(cells[held], " (kept back)")]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts))


def described(cells: pd.DataFrame) -> str:
    """Return the table of processes with their oracle gain."""
    oracle = cells.groupby("process")["oracle_gain"].mean()
    rows = ["| process | what it is | arms | oracle gain | seeds |", "|---|---|---|---|---|"]
    for process in PROCESSES + HELD_BACK:
        if process.name in oracle:
            seeds = cells.loc[cells["process"] == process.name, "seed"].nunique()
            gain = f"{oracle[process.name]:.3f}"
            rows.append(f"| {process.name} | {process.about} | {len(process.arms)} | {gain} | {seeds} |")
    return "\n".join([*rows, ""])


def report(cells: pd.DataFrame, suffix: str) -> list[str]:
    """Return all tables of some processes."""
    unmodified = [process.name for process in PROCESSES + HELD_BACK if not process.modified]
    null = cells["process"].isin(unmodified)
    real = cells[~null]
    parts = [f"## Fraction of the oracle gain{suffix}\n", "Mean over processes with heterogeneity.\n"]
    parts += [by_size(real, "fraction")]
    parts += ["Mean gain over mean oracle gain: processes with little to gain weigh little.\n"]
    parts += [by_size(pooled(real), "fraction"), f"## The same per process{suffix}\n"]
    parts += [by_size(rows, "fraction", label=name) for name, rows in real.groupby("process", sort=False)]
    if null.any():
        parts += [f"## Null: loss{suffix}\n", "Rate of the best arm less that of the recommendations.\n"]
        parts += [by_size(cells[null].assign(loss=-cells["gain"]), "loss", digits=4)]
        parts += ["Share of patients with status `clear_gain` (there is nothing to gain).\n"]
        parts += [by_size(cells[null], "clear_gain")]
    for title, columns in SECTIONS.items():
        parts += [f"## {title}{suffix}\n"]
        parts += [by_size(cells, column, label=label, digits=digits) for column, label, digits in columns]
    parts += [f"## Ours per process{suffix}\n"]
    parts += [ours_by_process(cells, *column) for column in BY_PROCESS]
    parts += costs(cells, suffix)
    parts += defeats(cells, suffix)
    return parts


SECTIONS = {
    "Error of probabilities and of differences": [("rmse", "RMSE", 3), ("pehe", "PEHE", 3)],
    "Calibration slope": [("slope", "", 2)],
    "95 % intervals": [
        ("arm_coverage", "coverage, arms", 3),
        ("arm_width", "width, arms", 3),
        ("contrast_coverage", "coverage, differences", 3),
        ("contrast_width", "width, differences", 3),
    ],
    "Promised minus delivered gain": [("promised_minus_delivered", "", 3)],
}


BY_PROCESS = [
    ("slope", "calibration slope", 2),
    ("contrast_coverage", "coverage, differences", 3),
    ("contrast_width", "width, differences", 3),
    ("promised_minus_delivered", "promised minus delivered", 3),
]


def pooled(cells: pd.DataFrame) -> pd.DataFrame:
    """Return gains as fractions of the mean oracle gain of the cells of the same n that a method ran."""
    mean = cells.groupby(["method", "n"])["oracle_gain"].transform("mean")
    return cells.assign(fraction=cells["gain"] / mean)


def ours_by_process(cells: pd.DataFrame, column: str, label: str, digits: int) -> str:
    """Return a table of our methods, one row per process."""
    ours = cells[cells["method"].isin(OURS) & cells[column].notna()]
    if ours.empty:
        return ""
    means = ours.pivot_table(index=["process", "method"], columns="n", values=column, sort=False)
    rows = [f"| {label} | method | {' | '.join(f'n = {n:,}' for n in sorted(means))} |"]
    rows.append("|---" * (len(means.columns) + 2) + "|")
    for (process, method), values in means[sorted(means)].iterrows():
        shown = " | ".join("-" if np.isnan(value) else f"{value:.{digits}f}" for value in values)
        rows.append(f"| {process} | {method} | {shown} |")
    return "\n".join([*rows, ""])


def by_size(cells: pd.DataFrame, column: str, *, label: str = "", digits: int = 3) -> str:
    """Return a table of methods by n: means of a column, with the number of cells in brackets if not all."""
    known = cells[cells[column].notna()]
    means = known.pivot_table(index="method", columns="n", values=column, aggfunc="mean")
    counts = known.pivot_table(index="method", columns="n", values=column, aggfunc="size")
    most = counts.max()

    def shown(method: str, n: int) -> str:
        if pd.isna(means.loc[method, n]):
            return "-"
        note = "" if counts.loc[method, n] == most[n] else f" ({counts.loc[method, n]:.0f} of {most[n]:.0f})"
        return f"{means.loc[method, n]:.{digits}f}{note}"

    return markdown(label or "method", means, shown)


def markdown(label: str, table: pd.DataFrame, shown: Callable[[str, int], str]) -> str:
    """Return a Markdown table with methods in the usual order."""
    rows = [f"| {label} | {' | '.join(f'n = {n:,}' for n in table.columns)} |"]
    rows.append("|---" * (len(table.columns) + 1) + "|")
    methods = sorted(table.index, key=ORDER.index)
    rows += [f"| {method} | {' | '.join(shown(method, n) for n in table.columns)} |" for method in methods]
    return "\n".join([*rows, ""])


def costs(cells: pd.DataFrame, suffix: str) -> list[str]:
    """Return tables of time and memory, and ratios of fit times to the yardsticks in the same cells."""
    parts = [f"## Time and memory{suffix}\n"]
    for column, label in [
        ("fit_seconds", "fit, s"),
        ("predict_seconds", "predict 5,000 patients, s"),
        ("peak_mb", "peak memory on top of data and libraries, MB"),
    ]:
        parts.append(by_size(cells, column, label=label, digits=1 if column == "peak_mb" else 2))
    for yardstick in YARDSTICKS:
        base = cells[cells["method"] == yardstick].set_index(["process", "n", "seed"])["fit_seconds"]
        if len(base):
            keys = pd.MultiIndex.from_frame(cells[["process", "n", "seed"]])
            ratio = cells.assign(ratio=cells["fit_seconds"] / base.reindex(keys).to_numpy())
            parts.append(by_size(ratio, "ratio", label=f"fit time as multiple of {yardstick}", digits=2))
    return parts


def defeats(cells: pd.DataFrame, suffix: str) -> list[str]:
    """Return every process x n where a peer has the higher mean gain than one of ours."""
    gains = cells.pivot_table(index=["process", "n", "seed"], columns="method", values="gain")
    parts = [
        f"## Where a peer is better{suffix}\n",
        "Gain of the peer less that of ours: mean over the seeds that both ran (standard error; a star if\n"
        "the mean is more than two of them). Best first.\n",
    ]
    for ours in OURS:
        if ours in gains:
            parts += [f"### than {ours}\n", _defeats_of(gains, ours)]
    return parts


def _defeats_of(gains: pd.DataFrame, ours: str) -> str:
    rows = ["| process | n | seeds | peers that are better |", "|---|---|---|---|"]
    for (process, n), group in gains.groupby(level=["process", "n"], sort=False):
        leads = {peer: (group[peer] - group[ours]).dropna() for peer in set(group.columns) - set(OURS)}
        better = {peer: lead for peer, lead in leads.items() if len(lead) and lead.mean() > 0}
        if better:
            ordered = sorted(better, key=lambda peer: -better[peer].mean())
            cells = "; ".join(f"{peer} {mean_and_error(better[peer])}" for peer in ordered)
            seeds = max(len(lead) for lead in better.values())
            rows.append(f"| {process} | {n:,} | {seeds} | {cells} |")
    return "\n".join([*rows, ""]) if len(rows) > 2 else "Nowhere.\n"


def mean_and_error(values: pd.Series) -> str:
    """Return a mean with its standard error over seeds in brackets; a star where it exceeds two of them."""
    if len(values) < 2:
        return f"{values.mean():.4f}"
    error = values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.4f} ({error:.4f}){'*' if values.mean() > 2 * error else ''}"


def stability_tables(stability: pd.DataFrame) -> list[str]:
    """Return the shares of recommendations that change although they should not."""
    if not len(stability):
        return []
    parts = ["## Stability\n", "Share of test patients whose recommended arm changes, same 1,000 patients.\n"]
    means = stability.groupby("method")[list(CHANGES)].agg(["mean", "max"])
    rows = [
        "| method |" + "".join(f" {what} | worst process |" for what in CHANGES.values()),
        "|---|" + "---|---|" * len(CHANGES),
    ]
    methods = sorted(means.index, key=ORDER.index)
    rows += [f"| {m} | {' | '.join(f'{value:.3f}' for value in means.loc[m])} |" for m in methods]
    return [*parts, "\n".join([*rows, ""])]
