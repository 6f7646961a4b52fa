"""Train, recommend, explain and validate on real trials, through the command line only.

    python -m benchmarks.real_trials [--data FOLDER] [--trial NAME ...] [--out FOLDER]

A third of the sites (or of the patients, if the trial has no sites) is held out; the model is fitted to the
rest. Prints within-arm AUC, calibration slope and gain over the best single arm for each trial, each with its
interval. The data are not part of this project.
"""

import argparse
import contextlib
import io
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from treatsel.cli.main import main as treatsel
from treatsel.validation import ValidationReport

HERE = Path(__file__).parent
DATA = Path(os.environ.get("TREATSEL_DATA", HERE.parents[1].parent / "shared" / "data"))


@dataclass(frozen=True)
class Trial:
    """What is needed in addition to the codebook: site column, main outcome, allocation and contrast."""

    site: str | None
    outcome: str
    shares: dict[str, float]
    contrast: tuple[str, str]


ASPIRIN_HEPARIN = {"no_heparin": 0.25, "low_heparin": 0.125, "medium_heparin": 0.125}
TRIALS = {
    "thp_pakistan": Trial(
        "site",
        "remission_6m",
        {"thp_cbt": 0.5, "enhanced_usual_care": 0.5},
        ("thp_cbt", "enhanced_usual_care"),
    ),
    "actg175": Trial(
        None,
        "cd4_up20",
        dict.fromkeys(["zdv", "zdv_ddi", "zdv_zal", "ddi"], 0.25),
        ("zdv_ddi", "zdv_zal"),
    ),
    "ist": Trial(
        "country",
        "alive_independent_6m",
        {
            f"{aspirin}_{heparin}": share
            for aspirin in ("aspirin", "no_aspirin")
            for heparin, share in ASPIRIN_HEPARIN.items()
        },
        ("aspirin_no_heparin", "no_aspirin_no_heparin"),
    ),
}


def split(frame: pd.DataFrame, trial: Trial, *, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hold out a third: whole sites if there are sites, otherwise patients."""
    random = np.random.default_rng(seed)
    units = frame[trial.site] if trial.site else frame["patient_id"]
    held_out = pd.Series(False, index=frame.index)
    for name in random.permutation(np.unique(units)):
        added = held_out | (units == name)
        if added.sum() <= len(frame) / 3:
            held_out = added
    return frame[~held_out], frame[held_out]


def call(*arguments: object) -> str:
    """Run one command and return its output."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()) as complaints:
        status = treatsel([str(argument) for argument in arguments])
    if status:
        raise RuntimeError(f"treatsel {arguments[0]} ended with {status}: {complaints.getvalue()}")
    return printed.getvalue()


def run(name: str, data: Path, out: Path, *, most: int | None = None) -> dict[str, object]:
    """Run one trial, on `most` randomly selected patients if given, and return its results."""
    trial, started = TRIALS[name], time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    frame = pd.read_csv(data / f"{name}.csv", dtype=str, keep_default_na=False)
    if most is not None:
        frame = frame.sample(most, random_state=0).sort_index()
    files = {part: out / f"{part}.csv" for part in ("development", "validation", "patients")}
    for part, rows in zip(files, split(frame, trial), strict=False):
        rows.to_csv(files[part], index=False)
    pd.read_csv(files["validation"], dtype=str, keep_default_na=False).head(20).to_csv(
        files["patients"], index=False
    )
    book, model = HERE / f"{name}.yaml", out / "model.treatsel"
    use = f"Benchmark on the {name} trial; not for patients."
    common = ["--codebook", book, "--outcome", trial.outcome]
    call("train", files["development"], *common, "--out", model, "--intended-use", use)
    call("recommend", model, files["patients"], "--out", out / "recommendations.csv")
    call(
        *("explain", model, files["patients"], "--contrast", *trial.contrast),
        *("--scale", "probability", "--out", out / "explanation.csv", "--plot", out / "explanation.png"),
    )
    refit = ["--internal-external-cv", "hierarchical"] if trial.site else []
    shares = [part for arm, share in trial.shares.items() for part in ("--allocation", f"{arm}={share}")]
    call(
        *("validate", model, files["validation"], *common, *shares, *refit),
        *("--html", out / "report.html", "--json", out / "report.json", "--out", out / "figures.csv"),
    )
    summary = ValidationReport.from_json(out / "report.json").summary()
    statuses = pd.read_csv(out / "recommendations.csv")["status"].value_counts().to_dict()
    return {
        "trial": name,
        "n": summary["n"],
        "figures": summary["figures"],
        "headline": summary["headline"],
        "statuses": statuses,
        "seconds": time.perf_counter() - started,
    }


def shown(figure: dict[str, float | None]) -> str:
    """Return value and interval as text."""
    return "{value:.3f} ({lower:.3f} to {upper:.3f})".format(**figure)


def main() -> None:
    """Run the trials and print one row each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--trial", action="append", choices=list(TRIALS))
    parser.add_argument("--out", type=Path, default=Path("real-trials"))
    args = parser.parse_args()
    print("| trial | held out, n | within-arm AUC | calibration slope | gain over the best single arm | s |")
    print("|---|---|---|---|---|---|")
    for name in args.trial or TRIALS:
        result = run(name, args.data, args.out / name)
        figures = result["figures"]
        cells = [
            shown(figures[key])
            for key in ("within-arm AUC", "calibration slope", "gain over the best single arm")
        ]
        print(f"| {name} | {result['n']} | {' | '.join(cells)} | {result['seconds']:.0f} |", flush=True)


if __name__ == "__main__":
    main()
