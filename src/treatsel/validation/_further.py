"""Sections of a validation report's page that stand there if their table does (see `_page`)."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from treatsel._reporting import plots
from treatsel._reporting.format import DASH, number, p_value, percent, points
from treatsel._reporting.page import Figure, Section, Table
from treatsel.validation._sections import figures_table

if TYPE_CHECKING:
    from treatsel.validation.report._report import ValidationReport

Shown = Callable[[Any], str]


def count(value: Any) -> str:
    """Return a whole number as text, or a dash."""
    return DASH if value is None or value != value else f"{int(value):,}"


def three(value: Any) -> str:
    """Return a number with three digits, or a dash."""
    return number(value, 3)


def text(value: Any) -> str:
    """Return a text, or a dash."""
    return DASH if value is None or value != value else str(value)


def shown(table: pd.DataFrame, columns: Mapping[str, tuple[str, Shown]], caption: str) -> Table:
    """Return columns of a table as texts, under their headings."""
    frame = pd.DataFrame(
        {heading: [form(value) for value in table[name]] for name, (heading, form) in columns.items()}
    )
    words = tuple(heading for heading, form in columns.values() if form is text)
    return Table(frame, caption, words=words)


def figure(ax: Any, name: str, description: str) -> Figure:
    """Return axes as a picture of the page."""
    return Figure(plots.to_svg(ax, name=name), description)


def use(report: "ValidationReport") -> Section:
    """Net benefit."""
    curve, choice = report.tables["decision curve"], report.tables["choice curve"]
    good = report.good_name
    one = plots.curves(
        curve,
        x="threshold",
        by="strategy",
        xlabel=f"Threshold: least chance of {good} at which the received arm is thought worth giving",
        ylabel="Net benefit, per patient",
        ax=plots.bare_axes(width=7, height=4.2),
    )
    top = float(curve["value"].max())
    one.set_ylim(-0.2 * max(top, 0.05), 1.1 * max(top, 0.05))
    strategies = choice[choice["strategy"].eq("model") | choice["arm"].ne(report.gain.best_arm)].copy()
    strategies.loc[strategies["strategy"].ne("model"), ["lower", "upper"]] = float("nan")
    two = plots.curves(
        strategies,
        x="threshold",
        by="strategy",
        xlabel=f"Rise in the chance of {good} that another arm than {report.gain.best_arm} must bring",
        ylabel=f"Net benefit over {report.gain.best_arm} for everybody",
        reference=0,
        ax=plots.bare_axes(width=7, height=4.6),
    )
    return Section(
        heading="Is it worth using?",
        paragraphs=[
            "The first picture asks: if an arm is given only to patients whose chance of "
            f"{good} under it reaches a threshold, is that better than giving it to all or to none? The "
            "second compares the recommendations with each arm for everybody when every other arm than the "
            "best single one must earn its cost: above 0, choosing pays."
        ],
        figures=[
            figure(one, "decision", "Decision curves with bands from shared resamples."),
            figure(two, "choice", "Net benefit of choosing among arms; the band is that of the model."),
        ],
        tables=[figures_table(report, ["utility"], "Net benefit of choosing at three costs.")],
        note="Vickers & Elkin 2006; for choices among several arms, Chalkou et al. 2023. Net benefit counts "
        "a good outcome as 1 and weighs each patient treated in vain by the odds of the threshold.",
    )


def sites(report: "ValidationReport") -> Section:
    """Sites, and a new one."""
    return _by_site(
        report,
        "sites",
        "Does it hold at every site, and at a new one?",
        "Each site by itself, the mean over sites, and the range in which the figure of a new site like "
        "these is expected to lie. The last is what matters before the model is used elsewhere.",
    )


def sites_left_out(report: "ValidationReport") -> Section:
    """Sites, each predicted by a model fitted to the others."""
    return _by_site(
        report,
        "sites left out",
        "How well does a model fitted here do at the next site?",
        "Internal-external cross-validation: a new model is fitted to all sites but one and judged at that "
        "one, for each in turn. It is the way of modelling that is judged, not the model validated above.",
    )


def _by_site(report: "ValidationReport", section: str, heading: str, about: str) -> Section:
    table, pictures = report.tables[section], []
    for measure, reference in (("within-arm AUC", 0.5), ("calibration slope", 1.0)):
        rows = _forest(report, section, measure)
        if rows is not None:
            axes = plots.bare_axes(width=7, height=1.2 + 0.36 * len(rows))
            axes = plots.estimates(rows, reference=reference, xlabel=measure, ax=axes)
            words = f"{measure} by site, with the mean over sites and a new site."
            pictures.append(figure(axes, f"{section} {measure}", words))
    spread: dict[str, tuple[str, Shown]] = {
        "measure": ("Measure", text),
        "n_sites": ("Sites", count),
        "n_left_out": ("Not pooled", count),
        "tau2": ("Variance between sites", three),
        "i2": ("Share of it", percent),
        "q_p_value": ("p of no differences", p_value),
    }
    by_site: dict[str, tuple[str, Shown]] = {
        "site": ("Site", text),
        "measure": ("Measure", text),
        "value": ("Estimate", three),
        "lower": ("Lower", three),
        "upper": ("Upper", three),
        "n": ("n", count),
        "n_events": ("Events", count),
        "method": ("Interval by, or why none", text),
    }
    return Section(
        heading=heading,
        paragraphs=[about],
        figures=pictures,
        tables=[
            figures_table(report, [section], "Means over sites, and a new site."),
            shown(report.tables[f"{section}: differences"], spread, "Differences between sites."),
            shown(table, by_site, "Every site."),
        ],
        note="Random effects by REML, Hartung-Knapp intervals, prediction interval with k - 2 degrees of "
        "freedom. Debray et al. 2017; Steyerberg & Harrell 2016.",
    )


def _forest(report: "ValidationReport", section: str, measure: str) -> pd.DataFrame | None:
    """Return the sites, their mean and a new site, or None where there is no mean or too many sites."""
    table, ends = report.tables[section], report.figures[report.figures["section"] == section]
    sites = table[(table["measure"] == measure) & table["lower"].notna()]
    names = {f"{measure}, {label}": label for label in ("mean over sites", "a new site")}
    ends = ends[ends["measure"].isin(names)]
    if len(sites) > MOST_SITES or len(ends) < len(names):
        return None
    rows = pd.concat([sites, ends.assign(site=ends["measure"].map(names))])
    return rows.set_index("site")[["value", "lower", "upper"]].astype(float)


MOST_SITES = 60  # in a picture


def subgroups(report: "ValidationReport") -> Section:
    """Subgroups by the columns with the role audit."""
    table = report.tables["subgroups"]
    table = table[table["variable"] != "overall"]
    columns: dict[str, tuple[str, Shown]] = {
        "variable": ("Column", text),
        "group": ("Group", text),
        "measure": ("Measure", text),
        "value": ("Estimate", three),
        "lower": ("Lower", three),
        "upper": ("Upper", three),
        "n": ("n", count),
        "n_events": ("Events", count),
        "method": ("Interval by, or why none", text),
    }
    tests: dict[str, tuple[str, Shown]] = {
        "variable": ("Column", text),
        "measure": ("Measure", text),
        "n_groups": ("Groups compared", count),
        "q": ("Q", number),
        "df": ("df", count),
        "p_value": ("p of no differences", p_value),
        "p_holm": ("p, corrected for all tests", p_value),
    }
    return Section(
        heading="Is it as good for every group?",
        paragraphs=[
            "Groups with fewer than 10 events or non-events have no figures of their own: an interval too "
            "wide to tell is no evidence that all is well. 'recommended ...' is the share of the group that "
            "is sent to an arm."
        ],
        tables=[
            shown(report.tables["subgroup tests"], tests, "Differences between groups."),
            shown(table, columns, "Figures by group."),
        ],
        note="Cochran's Q over groups, on a scale on which the measure is about normal; Holm's correction.",
    )


FORMS: dict[str, Shown] = {"rate": percent, "ratio": number, "difference": points, "gain": points}
SCENARIOS = {
    "observed": "are like the observed of their arm",
    "lowest": "are as bad as can be for the figure",
    "highest": "are as good as can be for the figure",
    "missing are 0": "all had no such outcome",
    "missing are 1": "all had the outcome",
}


def missing_outcomes(report: "ValidationReport") -> Section:
    """Bounds for missing outcomes."""
    table = report.tables["missing outcomes"].astype(object)
    for name in ("value", "lower", "upper"):
        table[name] = [FORMS[kind](x) for kind, x in zip(table["measure"], table[name], strict=True)]
    table["scenario"] = table["scenario"].map(lambda name: SCENARIOS.get(name, name))
    columns: dict[str, tuple[str, Shown]] = {
        "measure": ("Measure", text),
        "arms": ("Arms", text),
        "scenario": ("If the missing ...", text),
        "value": ("Estimate", str),
        "lower": ("Lower", str),
        "upper": ("Upper", str),
        "n": ("n", count),
        "n_missing": ("Missing", count),
    }
    return Section(
        heading="What if the missing outcomes were otherwise?",
        paragraphs=[
            f"Rates are those of {report.good_name}. The missing may have fared like the observed of their "
            "arm, or as badly, or as well, as can be for the figure. Nothing inside the data can say which "
            "is true."
        ],
        tables=[shown(table, columns, "Bounds under extreme assumptions.")],
        note="Horowitz & Manski 2000.",
    )


def confounding(report: "ValidationReport") -> Section:
    """Sensitivity to what was not measured."""
    columns: dict[str, tuple[str, Shown]] = {
        "Lambda": ("Lambda", number),
        "lowest": ("Lowest gain", points),
        "highest": ("Highest gain", points),
        "lower": ("Lower limit", points),
        "upper": ("Upper limit", points),
    }
    return Section(
        heading="What if something unmeasured decided who got which arm?",
        paragraphs=[
            "Lambda is how much the odds of being given an arm may differ between patients who look alike. "
            "At 1 all reasons were measured. If a small Lambda already lets the gain be of either sign, "
            "little confounding would suffice to explain it."
        ],
        tables=[shown(report.tables["confounding"], columns, "Gain over the best single arm, by Lambda.")],
        note="Marginal sensitivity model: Tan 2006; Zhao, Small & Bhattacharya 2019. Weighted estimate.",
    )


def updating(report: "ValidationReport") -> Section:
    """Updating of the model."""
    table = report.tables["updating"]
    columns: dict[str, tuple[str, Shown]] = {
        "method": ("Update", text),
        "n_parameters": ("Numbers learned", count),
        "log_likelihood": ("Log-likelihood", number),
        "slope": ("Slope", number),
    }
    if "p_value" in table:
        columns |= {"statistic": ("LR against refit", number), "df": ("df", count), "p_value": ("p", p_value)}
    return Section(
        heading="Should the model be updated first?",
        paragraphs=[
            "From no change to fitting anew: the first update that is not clearly worse than fitting anew is "
            "enough."
        ],
        tables=[shown(table, columns, "Ways to update the model on these patients.")],
        note="Closed test: Vergouwe et al. 2017.",
    )


def size(report: "ValidationReport") -> Section:
    """Sample size."""
    columns: dict[str, tuple[str, Shown]] = {
        "criterion": ("For", text),
        "n": ("Patients needed", count),
        "expected": ("Expected", three),
        "target": ("Width of the interval", three),
        "about": ("What is meant", text),
    }
    n = int(report.figure("base rate")["n"])
    return Section(
        heading="Were there enough patients?",
        paragraphs=[
            f"Needed for intervals of the usual widths, with the AUC and rate seen here; there are {n:,}."
        ],
        tables=[shown(report.tables["sample size"], columns, "Patients that a validation needs.")],
        note="Riley et al. 2021; Archer et al. 2021.",
    )
