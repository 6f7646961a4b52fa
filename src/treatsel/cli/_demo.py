"""`treatsel demo`: the whole workflow on the synthetic cohorts included in the package."""

import argparse
import warnings
from pathlib import Path
from typing import Any

from treatsel.artifact import load_model, save_model
from treatsel.cli._io import grouped, save_picture, tell, write_table
from treatsel.cli._recommend import flat
from treatsel.cli._report_files import summary_of
from treatsel.cli._train import decided_by
from treatsel.cohort import Cohort
from treatsel.datasets import load_synthetic
from treatsel.errors import InputError, TreatselWarning
from treatsel.explanation import explain
from treatsel.questions import question_tree
from treatsel.recommendation import Recommendations
from treatsel.report import write_html
from treatsel.selector import TreatmentSelector
from treatsel.validation import ValidationReport, validate

N_PATIENTS = 10
SMALLEST = 200  # patients; with fewer, an arm may lack one of the two outcome values
INTENDED_USE = {
    "purpose": "Demonstration of treatsel on synthetic patients; not for any real decision.",
    "population": "Synthetic adults at caseness on PHQ-9 or GAD-7, in the style of UK talking therapies.",
    "outcome": "Recovery: below both case cut-offs at the last session. Dropout: treatment not completed.",
    "not_for": "Real patients.",
}


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "demo",
        help="run the whole workflow on synthetic patients",
        description="Train, recommend, explain and validate on synthetic cohorts included in the package.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("treatsel-demo"), help="folder to write to (default: %(default)s)"
    )
    parser.add_argument(
        "--n", type=int, help="number of patients to use from the start of each cohort (default: all)"
    )
    parser.add_argument("--n-jobs", type=int, help="parallel jobs (default: 1)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the workflow, write all results, print the headline and the pages to open."""
    folder = args.out
    development, external = _cohort("development", args.n), _cohort("external", args.n)
    folder.mkdir(parents=True, exist_ok=True)
    _heading(1, f"Train on {_described(development)}")
    selector = _train(development, folder, args.n_jobs)
    _heading(2, f"Recommend for {N_PATIENTS} new patients")
    patients = external.X.head(N_PATIENTS).drop(columns=selector.arm)
    recommendations = _recommend(selector, patients, folder)
    _heading(3, "Explain one of them")
    _explain(selector, patients, recommendations, folder)
    _heading(4, f"Validate on {_described(external)}, none of them used for training")
    report = _validate(selector, external, folder)
    manifest = save_model(
        selector, folder / "model.treatsel", intended_use=INTENDED_USE, validation=report.summary()
    )
    write_html(manifest, folder / "card.html")
    tell(summary_of(report))
    _heading(5, "Talk it over with one patient")
    sentence = _talk_over(selector, patients, recommendations, folder)
    pages = {"patient.html": "one patient", "report.html": "validation", "card.html": "model card"}
    print("\nOpen " + ", ".join(f"{folder / page} ({what})" for page, what in pages.items()) + ".")
    print("Also written: " + ", ".join(sorted(path.name for path in folder.iterdir())) + ".")
    print(f"\n{sentence}")
    return 0


def _cohort(name: str, n: int | None) -> Cohort:
    cohort = load_synthetic(name).cohort
    if n is None:
        return cohort
    if not SMALLEST <= n <= len(cohort):
        raise InputError(f"--n is {n}; for the {name} cohort it must be from {SMALLEST} to {len(cohort):,}.")
    return cohort.with_frame(cohort.frame.head(n))


def _described(cohort: Cohort) -> str:
    return f"{len(cohort):,} synthetic patients from {len(set(cohort.frame['service']))} services"


def _heading(number: int, text: str) -> None:
    tell(f"\n{number}. {text}")


def _train(cohort: Cohort, folder: Path, n_jobs: int | None) -> TreatmentSelector:
    selector = TreatmentSelector(random_state=0, n_jobs=n_jobs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TreatselWarning)
        selector.fit(cohort)
    for line in grouped(str(w.message) for w in caught if issubclass(w.category, TreatselWarning)):
        tell(f"   note: {line}")
    manifest = save_model(selector, folder / "model.treatsel", intended_use=INTENDED_USE)
    best = selector.arm_means_.loc[selector.default_arm_]
    tell(
        f"   best single arm: {selector.default_arm_}, {best['value']:.1%} recover "
        f"({best['lower']:.1%} to {best['upper']:.1%}{decided_by(best)}); model {manifest.model_id[:12]}"
    )
    return load_model(folder / "model.treatsel")


def _recommend(selector: TreatmentSelector, patients: Any, folder: Path) -> Recommendations:
    predictions = selector.predict(patients)
    write_table(predictions.to_frame(), folder / "predictions.csv")
    recommendations = selector.recommend(patients)
    table = recommendations.to_frame()
    write_table(flat(table), folder / "recommendations.csv")
    save_picture(recommendations.plot(), folder / "recommendations.png")
    tell(f"   difference to {recommendations.comparator}, the best single arm, with its 95 % interval:")
    for patient, row in table.iterrows():
        start = f"   {patient}  {row['arm'] or 'no arm':16s}  {row['status'].replace('_', ' '):21s}"
        if row["arm"] is None or row["arm"] == recommendations.comparator:
            regret = row["expected_regret"]
            tell(start if regret != regret else f"{start}  expected regret {100 * regret:.0f} points")
            continue
        bounds = f"{100 * row['difference_lower']:+.0f} to {100 * row['difference_upper']:+.0f}"
        tell(
            f"{start}  {100 * row['difference']:+.0f} points ({bounds}), P(better) {row['p_better']:.0%}, "
            f"expected regret {100 * row['expected_regret']:.0f}"
        )
    return recommendations


def _explain(
    selector: TreatmentSelector, patients: Any, recommendations: Recommendations, folder: Path
) -> None:
    patient = patients.index[0]
    first, second = recommendations.utility.loc[patient].nlargest(2).index
    explanation = explain(selector, patients.head(1), contrast=(first, second), scale="probability")
    write_table(explanation.to_frame(), folder / "explanation.csv")
    save_picture(explanation.plot(), folder / "explanation.png")
    parts = explanation.values.iloc[0]
    largest = parts[parts.abs().nlargest(3).index]
    words = ", ".join(f"{name} {100 * value:+.1f}" for name, value in largest.items())
    tell(
        f"   {patient}: the model's difference {first} minus {second} starts at "
        f"{100 * explanation.base_value:+.1f} points; largest contributions: {words}"
    )


def _talk_over(
    selector: TreatmentSelector, patients: Any, recommendations: Recommendations, folder: Path
) -> str:
    """Write the page of the patient whose arm is most probably better than the comparator; say so."""
    table = recommendations.table
    patient = table["p_better"].where(table["top"].notna(), -1.0).fillna(0.0).idxmax()
    row = patients.loc[[patient]]
    why = selector.explain_recommendation(row)
    questions = question_tree(selector, row)
    recommendation = selector.recommend(row)
    recommendation.to_html(
        folder / "patient.html", explanation=why.sentences(), next_question=questions, patient=str(patient)
    )
    tell(f"   {patient}: {' '.join(why.sentences()[:2])}")
    return _sentence(recommendation)


def _sentence(found: Recommendations) -> str:
    """Return one sentence on one patient that a clinician can use."""
    (row,) = found.table.to_dict("records")
    arm, comparator = row["arm"], row["comparator"]
    chance = found.utility.iloc[0]
    if arm is None:
        return "For this patient, the model recommends no treatment: talk about the options without it."
    people = f"{100 * chance[arm]:.0f} of 100 people like this recover with {arm}"
    if arm == comparator or comparator is None:
        return f"{people}, and no other treatment is known to do better for this patient."
    ends = f"{100 * row['difference_lower']:+.0f} to {100 * row['difference_upper']:+.0f}"
    return (
        f"{people}, and {100 * chance[comparator]:.0f} with {comparator} (95 % interval of the difference "
        f"{ends}); the chance that {arm} is the better of the two is {row['p_better']:.0%}."
    )


def _validate(selector: TreatmentSelector, cohort: Cohort, folder: Path) -> ValidationReport:
    report = validate(selector, cohort, assignment="randomised")
    report.to_html(folder / "report.html")
    write_table(report.to_frame(), folder / "figures.csv")
    save_picture(report.plot(), folder / "calibration.png")
    save_picture(report.plot_policies(), folder / "policies.png")
    return report
