"""Section: estimates pooled over imputed tables."""

from treatsel._checks import count_of
from treatsel._reporting.format import DASH, percent, points, with_interval
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, three


def imputations(report: ReportData) -> Section:
    """Return estimates pooled over imputed tables."""
    table = report.tables["imputations"]
    n_tables, incomplete = int(table["n_imputations"].iloc[0]), report.about.get("n_incomplete")
    rows = table.to_dict(orient="records")
    for row in rows:
        form = points if row["measure"].startswith("gain") else three
        row["value"] = DASH if row["value"] != row["value"] else with_interval(row, form)
        for name in ("as_given", "lowest", "highest"):
            row[name] = form(row[name])
    names = ("value", "as_given", "lowest", "highest")
    frame = table.assign(**{name: [row[name] for row in rows] for name in names})
    columns: dict[str, tuple[str, Shown]] = {
        "measure": ("Measure", str),
        "value": ("Pooled (interval)", str),
        "fmi": ("Missing information", lambda share: percent(share, 0)),
        "lowest": ("Lowest table", str),
        "highest": ("Highest table", str),
        "as_given": ("Cohort as given", str),
        "n": ("n", count),
        "n_events": ("Events", count),
    }
    return Section(
        heading="Multiple imputation: do the results change if missing covariates are imputed?",
        paragraphs=[
            f"The cohort was given in {n_tables} versions with imputed covariates. Predictions were made and "
            "evaluated in each, and the estimates were pooled. 'Missing information' is the fraction of the "
            "information about an estimate that is lost because covariates are missing.",
            _as_given(incomplete),
            "Patients whose outcome was not observed are left out of all tables. Curves, calibration errors, "
            "net benefit, benefit of pairs, sites, subgroups, bounds and estimates by arm are not pooled; "
            "they describe the cohort as given.",
        ],
        tables=[shown(frame, columns, "Estimates pooled over imputed tables.")],
        note="Rubin's rules with the degrees of freedom of Barnard & Rubin 1999; AUCs pooled on the logit, "
        "observed / expected on the log, all others untransformed (Marshall et al. 2009). Probabilities of "
        "the arms, if estimated, were estimated in each table.",
    )


def _as_given(incomplete: int | None) -> str:
    """Return how the other sections handle missing covariates."""
    if not incomplete:
        return (
            "The cohort as given has no missing covariates. If it is itself one of several imputed tables, "
            "report the pooled estimates."
        )
    return (
        f"In the cohort as given, {count_of(incomplete, 'patient')} {'has' if incomplete == 1 else 'have'} "
        "missing covariates. The headline and all other sections describe that cohort, with missing values "
        "handled by the model itself (or when the predictions were made)."
    )
