"""Section: estimates pooled over imputed tables."""

from treatsel._reporting.format import DASH, percent, points, with_interval
from treatsel._reporting.page import Section
from treatsel.validation.report._data import ReportData
from treatsel.validation.report.sections._tables import Shown, count, shown, three


def imputations(report: ReportData) -> Section:
    """Figures pooled over imputed tables."""
    table = report.tables["imputations"]
    count_of, incomplete = int(table["n_imputations"].iloc[0]), report.about.get("n_incomplete")
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
        heading="What if the missing covariates are imputed?",
        paragraphs=[
            f"The same patients in {count_of} tables with imputed covariates: the model predicted in each, "
            "and the figures were pooled. 'Missing information' is the share of what the figure could tell "
            "that is lost because covariates are missing.",
            _as_given(incomplete),
            "Patients whose outcome was not observed are left out in all tables. Not pooled, and so of the "
            "cohort as given: curves, calibration errors, net benefit, benefit of pairs, sites, subgroups, "
            "bounds, figures by arm.",
        ],
        tables=[shown(frame, columns, "Figures pooled over imputed tables.")],
        note="Rubin's rules with the degrees of freedom of Barnard & Rubin 1999; AUCs pooled on the logit, "
        "observed / expected on the log, all else as it is (Marshall et al. 2009). Estimated chances of the "
        "arms, if used, were estimated in each table.",
    )


def _as_given(incomplete: int | None) -> str:
    """Return what was done about missing covariates in all other sections."""
    if not incomplete:
        return (
            "The cohort as given lacks no covariate. If it is itself one of several imputed tables, the "
            "pooled figures are the ones to report."
        )
    return (
        f"In the cohort as given {incomplete:,} patients lack a covariate. All other sections, and the "
        "headline, are on that cohort: what the model (or the maker of the predictions) itself does about "
        "missing values was done."
    )
