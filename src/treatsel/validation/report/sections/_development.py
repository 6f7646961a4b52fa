"""Section: comparison with the development cohort."""

from treatsel._reporting import plots
from treatsel._reporting.format import DASH, number, percent, points, with_interval
from treatsel._reporting.page import Figure, Section, Table
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, table_of, text, three

MOST_SHOWN = 40  # covariates in the picture


def development(report: ReportData) -> Section:
    """Validation patients against those of development."""
    covariates, rows = report.tables["development: covariates"], report.figures
    compared = rows[(rows["section"] == "development") & ~rows["measure"].str.endswith("re-weighted")]
    return Section(
        heading="Are these patients like those of development?",
        paragraphs=[
            "A membership model tries to tell from covariates, arm and outcome whether a patient belongs to "
            "this cohort or to that of development: at an AUC of 0.5 they are alike, at 1 nothing is "
            f"shared. {_alike(report)}",
            "A linear predictor (logit of the prediction) with a larger SD than in development makes "
            "patients easier to tell apart, with the same model equally right. The re-weighted figures are "
            "those to expect in patients like those of development, if outcome and covariates hang together "
            "there as here: what still falls short in them is not due to other patients.",
        ],
        figures=_differences(report),
        tables=[
            table_of(compared, "Membership, and linear predictor here against that in development."),
            _reweighted(report),
            *_linear_predictor(report),
            shown(
                covariates,
                {
                    "covariate": ("Covariate", text),
                    "development_mean": ("Development: mean", three),
                    "development_sd": ("SD", three),
                    "validation_mean": ("Here: mean", three),
                    "validation_sd": ("SD here", three),
                    "standardized_difference": ("Standardised difference", number),
                },
                "Covariates in both cohorts (of a category: the share).",
            ),
        ],
        note="Patients with the outcome observed. Membership model and linear predictor: Debray et al. 2015. "
        "Weights by entropy balancing of the means of the covariates (Hainmueller 2012); a missing number "
        "counts as the mean of its cohort.",
    )


def _alike(report: ReportData) -> str:
    auc = report.figure("membership AUC, case mix only")
    return f"By covariates and arm alone it is {with_interval(auc, number)}."


def _differences(report: ReportData) -> list[Figure]:
    """Return the largest standardised differences as a picture."""
    table = report.tables["development: covariates"].dropna(subset="standardized_difference")
    order = (
        table["standardized_difference"].abs().sort_values(ascending=False, kind="stable").index[:MOST_SHOWN]
    )
    rows = table.loc[order].set_index("covariate")["standardized_difference"]
    if rows.empty:
        return []
    axes = plots.estimates(
        rows.to_frame("value").assign(lower=rows, upper=rows),
        reference=0,
        xlabel="Standardised difference: mean here less mean in development, in SDs",
        ax=plots.bare_axes(width=7, height=1.2 + 0.3 * len(rows)),
    )
    svg = plots.to_svg(axes, name="development")
    return [Figure(svg, "Standardised differences of the covariates, the largest first.")]


def _reweighted(report: ReportData) -> Table:
    table = report.tables["development: re-weighted"]
    rows = table.to_dict(orient="records")
    for row in rows:
        form = points if row["measure"].startswith("gain") else three
        for name in ("here", "reweighted"):
            ends = {"value": row[name], "lower": row[f"{name}_lower"], "upper": row[f"{name}_upper"]}
            row[name] = DASH if row[name] != row[name] else with_interval(ends, form)
    frame = table.assign(**{name: [row[name] for row in rows] for name in ("here", "reweighted")})
    largest = table["largest_share"].iloc[0]
    about = (
        "" if largest != largest else f" The patient who counts most has {percent(largest)} of the weight."
    )
    return shown(
        frame,
        {
            "measure": ("Measure", str),
            "here": ("Here (interval)", str),
            "n": ("n", count),
            "reweighted": ("Re-weighted (interval)", str),
            "effective_n": ("Effective n", lambda n: number(n, 0)),
        },
        f"Figures here, and re-weighted to the development patients.{about}",
    )


def _linear_predictor(report: ReportData) -> list[Table]:
    table = report.tables["development: linear predictor"]
    if table.empty:
        return []
    columns: dict[str, tuple[str, Shown]] = {
        "group": ("Received arm", text),
        "development_n": ("Development: n", count),
        "development_mean": ("mean", number),
        "development_sd": ("SD", number),
        "validation_n": ("Here: n", count),
        "validation_mean": ("mean here", number),
        "validation_sd": ("SD here", number),
        "ratio": ("Ratio of SDs", number),
    }
    return [shown(table, columns, "Linear predictor in both cohorts.")]
