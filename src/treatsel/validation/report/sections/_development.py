"""Section: comparison with the development cohort."""

from treatsel._reporting import plots
from treatsel._reporting.format import DASH, number, percent, points, with_interval
from treatsel._reporting.page import Figure, Section, Table
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, table_of, text, three

MAX_COVARIATES = 40  # in the figure; more labels would not be legible


def development(report: ReportData) -> Section:
    """Return case mix against the development cohort, and re-weighted estimates."""
    covariates, rows = report.tables["development: covariates"], report.figures
    compared = rows[(rows["section"] == "development") & ~rows["measure"].str.endswith("re-weighted")]
    return Section(
        heading="Comparison with development: are these patients like those the model was developed on?",
        paragraphs=[
            "A membership model predicts from covariates, arm and outcome whether a patient belongs to this "
            "cohort or to the development cohort. An AUC of 0.5 means that the cohorts are alike, an AUC of "
            f"1 that they do not overlap. {_membership(report)}",
            "If the linear predictor (logit of the prediction) has a larger SD than in development, "
            "discrimination is easier for a model of the same validity. The re-weighted estimates are those "
            "expected in patients like those of development, if the outcome depends on the covariates there "
            "as it does here. A shortfall that remains after re-weighting is not explained by case mix.",
        ],
        figures=_differences(report),
        tables=[
            table_of(compared, "Membership model, and linear predictor in this cohort against development."),
            _reweighted(report),
            *_linear_predictor(report),
            shown(
                covariates,
                {
                    "covariate": ("Covariate", report.label),
                    "development_mean": ("Development: mean", three),
                    "development_sd": ("SD, development", three),
                    "validation_mean": ("Validation: mean", three),
                    "validation_sd": ("SD, validation", three),
                    "standardized_difference": ("Standardized difference", number),
                },
                "Covariates in both cohorts (for a category: the proportion).",
            ),
        ],
        note="Patients with the outcome observed. Membership model and linear predictor: Debray et al. 2015. "
        "Weights by entropy balancing of the means of the covariates (Hainmueller 2012); a missing number is "
        "replaced by the mean of its cohort.",
    )


def _membership(report: ReportData) -> str:
    auc = report.figure("membership AUC, case mix only")
    return f"From covariates and arm alone, the AUC is {with_interval(auc, number)}."


def _differences(report: ReportData) -> list[Figure]:
    """Return a figure of the largest standardized differences."""
    table = report.tables["development: covariates"].dropna(subset="standardized_difference")
    order = (
        table["standardized_difference"]
        .abs()
        .sort_values(ascending=False, kind="stable")
        .index[:MAX_COVARIATES]
    )
    rows = table.loc[order].set_index("covariate")["standardized_difference"]
    if rows.empty:
        return []
    axes = plots.estimates(
        rows.to_frame("value").assign(lower=rows, upper=rows).rename(index=report.label),
        reference=0,
        xlabel="Standardized difference: validation minus development, in SDs",
        ax=plots.bare_axes,
    )
    svg = plots.to_svg(axes, name="development")
    return [Figure(svg, "Standardized differences of the covariates, largest first.")]


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
        ""
        if largest != largest
        else f" The largest weight of one patient is {percent(largest)} of the total."
    )
    return shown(
        frame,
        {
            "measure": ("Measure", str),
            "here": ("Validation cohort (interval)", str),
            "n": ("n", count),
            "reweighted": ("Re-weighted (interval)", str),
            "effective_n": ("Effective n", lambda n: number(n, 0)),
        },
        f"Estimates in this cohort, and re-weighted to the development patients.{about}",
    )


def _linear_predictor(report: ReportData) -> list[Table]:
    table = report.tables["development: linear predictor"]
    if table.empty:
        return []
    columns: dict[str, tuple[str, Shown]] = {
        "group": ("Received arm", text),
        "development_n": ("Development: n", count),
        "development_mean": ("Mean, development", number),
        "development_sd": ("SD, development", number),
        "validation_n": ("Validation: n", count),
        "validation_mean": ("Mean, validation", number),
        "validation_sd": ("SD, validation", number),
        "ratio": ("Ratio of SDs", number),
    }
    return [shown(table, columns, "Linear predictor in both cohorts.")]
