"""repr and HTML of all public results: present, short, escaped, without patients, arrays and small counts."""

import dataclasses
import importlib
import inspect
import pkgutil
import warnings
from html.parser import HTMLParser
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel import allocation, metrics, preference
from treatsel._reporting.summary import Summarized, Summary, to_html
from treatsel.codebook import Codebook
from treatsel.datasets import make_cohort
from treatsel.eligibility import Rules
from treatsel.models import PooledClassifier, Priors
from treatsel.monitoring import monitor
from treatsel.predictions import Predictions
from treatsel.questions import question_tree
from treatsel.validation import combine, instability

RIDGE = PooledClassifier(LogisticRegression(C=0.1, solver="newton-cholesky"))
SCRIPT = "<script>alert(1)</script>"
ID, VALUE, CATEGORY = "planted-id", 43.21987, "planted-category"
LONGEST_TEXT, LONGEST_HTML = 1000, 9000
# descriptions of columns and definitions, and parts of models: not results, and shown by their own repr
NOT_RESULTS = {"Field", "Outcome", "Instrument", "AlarmThresholds", "AssignmentModel", "Column", "Encoding"}
NOT_RESULTS |= {
    "Explainer",
    "Trees",
    "Development",
    "JointDraws",
    "Contributions",
    "Curvature",
    "Hierarchy",
    "Levels",
    "Criterion",
    "ValidationPlan",
    "Node",
    "Statement",
    "Rule",
    "Reason",
    "PartResult",
    "Policies",
    "SiteData",
}
VOID = {"br", "hr", "img", "meta", "input"}


class Tags(HTMLParser):
    """Collect tags and attributes, and check that they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.attributes += [f"{name}={value}" for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def check(result):
    """The properties that every summary has."""
    text, html = repr(result), result._repr_html_()
    assert len(text) <= LONGEST_TEXT
    assert len(html) <= LONGEST_HTML
    for shown in (text, html):
        assert ID not in shown
        assert CATEGORY not in shown
        assert "43.2" not in shown
        assert "array(" not in shown
        assert "dtype" not in shown
    tags = Tags()
    tags.feed(html)
    assert tags.open == []
    assert tags.seen <= {"div", "strong", "p", "table", "tr", "th", "td"}
    assert not any("http" in each or "url(" in each or "color" in each for each in tags.attributes)
    return text, html


def public_classes():
    found = {}
    for module in pkgutil.walk_packages(ts.__path__, "treatsel."):
        parts = module.name.split(".")[1:]
        if any(part.startswith("_") for part in parts) or parts[0] in ("cli", "scale"):
            continue
        loaded = importlib.import_module(module.name)
        for name in getattr(loaded, "__all__", []):
            each = getattr(loaded, name)
            if inspect.isclass(each) and (dataclasses.is_dataclass(each) or hasattr(each, "to_frame")):
                found[name] = each
    return found


CLASSES = public_classes()
BY_FIELDS = [
    name
    for name, each in CLASSES.items()
    if name not in NOT_RESULTS and getattr(each, "_summary", None) is Summarized._summary
]


def planted(field):
    """A value of a field that holds patients wherever its type allows this."""
    kind = (
        field.type.__name__ if not get_args(field.type) and inspect.isclass(field.type) else str(field.type)
    )
    table = pd.DataFrame({CATEGORY: [VALUE] * 9}, index=[f"{ID}{i}" for i in range(9)])
    if field.name in ("arms", "arms_", "failures"):  # labels, and types of errors
        return (SCRIPT, "CBT")
    if "Frame" in kind:
        return table if not kind.startswith(("dict", "Mapping")) else {ID: table}
    if "Series" in kind:
        return table[CATEGORY]
    if "Array" in kind or "ndarray" in kind:
        return table[CATEGORY].to_numpy()
    if kind.startswith("tuple"):
        return (ID, ID)
    if kind.startswith(("dict", "Mapping")):
        return {ID: VALUE}
    if "Estimate" in kind:
        return metrics.roc_auc([0, 1] * 30, np.linspace(0.1, 0.9, 60))
    if kind.startswith("str"):
        return SCRIPT
    return 0.25 if kind.startswith("float") else 7 if kind.startswith("int") else None


@pytest.mark.parametrize("name", BY_FIELDS)
def test_summaries_of_fields_show_no_patients(name):
    each = CLASSES[name]
    result = object.__new__(each)
    for field in dataclasses.fields(each):
        object.__setattr__(result, field.name, planted(field))
    text, html = check(result)
    assert text.startswith(f"{name}(")
    assert SCRIPT not in html
    assert f"<strong>{name}</strong>" in html


@pytest.fixture(scope="module")
def planted_cohort():
    made = make_cohort(420, random_state=4).cohort
    frame = made.frame.reset_index()
    frame["patient_id"] = [f"{ID}-{i}" for i in range(len(frame))]
    arms = frame["arm"].replace({"cbt": SCRIPT})
    names = [*made.codebook.covariates[:4], "arm", "dropout", "patient_id"]
    frame = frame.assign(arm=arms)[names]
    frame["marker"] = np.where(np.arange(len(frame)) % 50 == 0, CATEGORY, "other")
    frame["score"] = np.where(np.arange(len(frame)) == 7, VALUE, 40.0 + np.arange(len(frame)) % 20)
    fields = [
        {**field.to_dict()} for field in made.codebook.fields if field.name in names and field.name != "arm"
    ]
    fields += [
        {"name": "arm", "type": "string", "role": "arm", "title": SCRIPT},
        {"name": "marker", "type": "string", "role": "covariate"},
        {"name": "score", "type": "number", "role": "covariate", "title": f"Score {SCRIPT}"},
    ]
    return ts.Cohort(frame, Codebook.from_dict({"fields": fields}))


@pytest.fixture(scope="module")
def results(planted_cohort, tmp_path_factory):
    """One of each result that has its own summary, from a cohort with planted ids and values."""
    cohort = planted_cohort
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        selector = ts.TreatmentSelector(event_is_good=False, estimator="hierarchical", random_state=0)
        selector.fit(cohort)
        path = tmp_path_factory.mktemp("model") / "m.treatsel"
        manifest = ts.save_model(selector, path, intended_use=f"Tests {SCRIPT}.")
        report = ts.validate(selector, make_like(cohort), outcome="dropout", sections=())
        other = report.about | {"cohort": "the digest of other patients"}
        X = cohort.X
        scores = metrics.aipw_scores(
            cohort.y, X["arm"], selector.predict_by_arm(X), selector.assignment_.probabilities
        )
        made = {
            "Cohort": cohort,
            "Codebook": cohort.codebook,
            "TreatmentSelector": selector,
            "FittedModel": selector.model_,
            "Predictions": selector.predict(X),
            "Recommendations": selector.recommend(X),
            "PatientOutcomes": selector.recommend(X.head(1)).outcomes,
            "Explanation": ts.explain(selector, X.head(30), arm=SCRIPT),
            "ValidationReport": report,
            "CombinedReports": combine([report, dataclasses.replace(report, about=other)]),
            "MonitoringReport": monitor(selector, X, cohort.y),
            "Gain": report.gain,
            "BestArmGain": metrics.best_arm_gain(scores, selector.recommend(X).columns["top"]),
            "Gains": metrics.gain_over_each_arm(scores, selector.recommend(X).columns["top"]),
            "EffectModificationTest": metrics.effect_modification_test(scores, scores**2),
            "EffectByRisk": metrics.effect_by_risk(
                scores, scores.mean(axis=1), control=selector.arms_[0], treated=selector.arms_[1]
            ),
            "PolicyTree": ts.policy_tree(scores, X.drop(columns="arm")),
            "RecommendationExplanation": selector.explain_recommendation(X.head(1)),
            "NextQuestion": ts.next_question(selector, {}),
            "QuestionTree": question_tree(selector, X.iloc[0].drop("marker").to_dict(), tolerance=0.0),
            "Modification": (modified := ts.modifiers(selector, X)),
            "Dependence": modified.dependence("marker"),
            "Manifest": manifest,
            "SyntheticCohort": make_cohort(60, random_state=0),
            "Priors": Priors(arm_contrasts={("A", "B"): (0.2, 0.1)}, source="A trial"),
            "SampleSize": metrics.validation_sample_size(prevalence=0.3, auc=0.75),
            "Instability": (study := instability(RIDGE, cohort, n_boot=3)),
            "BootstrapRefits": study.refits,
        }
    return (
        made
        | {"loaded": ts.load_model(path)}
        | results_of_preferences()
        | results_of_eligibility()
        | results_of_allocation()
    )


def results_of_preferences():
    """One patient's results: a value of 43.2 is planted as a weight, and as a measurement."""
    criteria = [preference.Criterion(name, worst=0, best=100) for name in ("stay", SCRIPT)]
    values = preference.partial_values({one.name: {"CBT": 43.2, "TAU": 7} for one in criteria}, criteria)
    weights = ts.Preferences({"stay": 43.2, SCRIPT: 56.8})
    return {
        "PartialValues": values,
        "Preferences": weights,
        "Acceptability": preference.smaa(values, weights),
        "Dominance": preference.dominance(values, weights),
        "Flips": preference.flips(values, weights),
        "SideEffects": preference.SideEffects.from_dict(
            {
                "rates": [{"effect": SCRIPT, "arm": SCRIPT, "probability": 0.2, "lower": 0.1, "upper": 0.3}],
                **{"good": False, "level": 0.95, "source": SCRIPT, "date": "2024-05-01"},
            }
        ),
    }


def results_of_eligibility():
    """The same planted value is a measurement, and the planted script an arm."""
    rule = {
        "id": "r1",
        "arms": [SCRIPT],
        "when": "severity > 40",
        "effect": "exclude",
        "reason": "Too severe.",
    }
    rule |= {"source": "A test", "version": "1", "date": "2026-01-01"}
    book = ts.Codebook.from_dict({"fields": [{"name": "severity", "type": "number", "role": "covariate"}]})
    rules = Rules.from_dict({"rules": [rule]}, codebook=book, arms=["TAU", SCRIPT])
    return {
        "Rules": rules,
        "Eligibility": rules.apply(pd.DataFrame({"severity": [43.2, 7.0]})),
        "PatientEligibility": rules.apply_record({"severity": 43.2}),
    }


def results_of_allocation():
    """A list of one patient, whose utility of 0.432 is planted, and with whom nothing can be compared."""
    utility = pd.DataFrame({SCRIPT: [0.432], "CBT": [0.2]}, index=[ID])
    effects = pd.DataFrame({"therapist": [SCRIPT], "effect": [0.5], "sd": [0.1]})
    therapists = allocation.therapist_utilities(
        utility[SCRIPT], effects, therapists=[SCRIPT, CATEGORY], good=True
    )
    plan = ts.allocate(utility, {"CBT": 1}, budget=(43.2, {SCRIPT: 43.2, "CBT": 1}))
    return {"Allocation": plan, "TherapistUtilities": therapists, "Matching": ts.match(therapists, {})}


def make_like(cohort):
    """The same patients in another order, so that the report is quick to make."""
    return cohort.take(np.arange(len(cohort))[::-1])


def test_every_public_result_is_covered(results):
    with_own = set(CLASSES) - set(BY_FIELDS) - NOT_RESULTS
    assert with_own <= set(results)
    assert "Estimate" in BY_FIELDS
    for name in set(CLASSES) - NOT_RESULTS:
        assert hasattr(CLASSES[name], "_repr_html_"), name


def test_summaries_of_results_show_no_patients(results):
    for name, result in results.items():
        if result is None:
            continue
        _, html = check(result)
        assert SCRIPT not in html, name


def test_a_single_patient_is_not_shown(results, planted_cohort):
    selector, X = results["TreatmentSelector"], planted_cohort.X.head(1)
    predicted, recommended = selector.predict(X), selector.recommend(X)
    explained = ts.explain(selector, X, arm=SCRIPT)
    for result in (predicted, recommended, explained):
        check(result)
    probability = f"{100 * predicted.probability['dropout'][0, 0]:.1f} %"
    assert probability not in predicted._repr_html_()
    status = str(recommended.columns["status"][0])
    assert status not in repr(recommended)
    assert status.replace("_", " ") not in recommended._repr_html_()


def test_what_users_want_to_see_is_shown(results):
    html = {name: result._repr_html_() for name, result in results.items() if result is not None}
    report = results["ValidationReport"]
    assert "Value of the recommendations" in html["ValidationReport"]
    assert "within-arm AUC" in html["ValidationReport"]
    assert "Did not complete treatment" in html["TreatmentSelector"]  # a title of the codebook
    assert "medication" in html["Cohort"]
    assert "covariate" in html["Codebook"]
    assert "No alarm" in html["MonitoringReport"] or "Alarm" in html["MonitoringReport"]
    assert str(report.gain.n) in html["Gain"].replace(",", "")
    assert "model " in html["loaded"]


def test_small_counts_are_not_shown():
    seldom = metrics.prevalence([1, 1, *[0] * 98])
    assert (seldom.value, seldom.n_events) == (0.02, 2)
    for shown in (repr(seldom), seldom._repr_html_()):
        assert "0.02" not in shown
        assert "fewer than 5" in shown
    usual = metrics.prevalence([1] * 20 + [0] * 80)
    assert "0.200 (95% interval 0.1" in repr(usual)
    assert "patients: 100; events: 20" in repr(usual)
    by_arm = pd.DataFrame({"CBT": [0.8] * 17 + [0.2] * 3, "SSRI": 0.5})
    recommended = ts.recommend(by_arm)
    html = recommended._repr_html_()
    assert ">17<" not in html
    assert ">3<" not in html
    assert "not shown (small counts)" in html


def test_rare_arms_of_a_cohort_are_not_counted():
    n = 60
    frame = pd.DataFrame({"age": np.arange(n) % 40 + 20.0, "remission": np.arange(n) % 2})
    frame["arm"] = ["CBT"] * 30 + ["IPT"] * 28 + ["SSRI"] * 2
    html = ts.Cohort(frame)._repr_html_()
    assert ">2<" not in html
    assert ">28<" not in html  # the total would give the other away
    assert ">30<" in html


def test_a_draft_of_a_codebook_shows_no_categories(planted_cohort):
    book = Codebook.infer(planted_cohort.frame.reset_index())
    check(book)
    assert CATEGORY not in repr(book["marker"])
    assert repr(planted_cohort.codebook["score"]).startswith("Field('score': covariate, number")


def test_an_unfitted_selector_says_so_and_text_can_be_chosen():
    selector = ts.TreatmentSelector(estimator="hierarchical", event_is_good=True)
    html = selector._repr_html_()
    assert "not fitted" in html
    assert "estimator=&#x27;hierarchical&#x27;" in html
    assert set(selector._repr_mimebundle_()) == {"text/plain", "text/html"}
    with sklearn.config_context(display="text"):
        assert set(selector._repr_mimebundle_()) == {"text/plain"}


def test_long_tables_are_cut_and_counted():
    rows = [(str(i), SCRIPT) for i in range(40)]
    html = to_html(Summary(title="T", columns=("a", "b"), rows=rows, note="More."))
    assert html.count("<tr>") == 9
    assert "Not shown here: 32. More." in html
    assert SCRIPT not in html


def test_titles_that_are_not_unique_are_followed_by_the_name():
    fields = [
        {"name": "a", "title": "Severity", "role": "covariate"},
        {"name": "b", "title": "Severity", "role": "covariate"},
        {"name": "c", "title": "a", "role": "covariate"},
        {"name": "d", "title": "Age", "role": "covariate"},
        {"name": "e", "role": "arm"},
    ]
    book = Codebook.from_dict({"fields": fields})
    assert [book.label(name) for name in "abcde"] == ["Severity (a)", "Severity (b)", "a (c)", "Age", "e"]


def test_titles_are_labels_and_names_stay_in_tables(results, planted_cohort):
    selector, X = results["TreatmentSelector"], planted_cohort.X.head(3)
    predicted = selector.predict(X)
    xlabel = " ".join(predicted.plot().get_xlabel().split())
    assert xlabel == "Predicted probability of Did not complete treatment"
    assert set(predicted.to_frame()["outcome"]) == {"dropout"}
    explained = ts.explain(selector, X.head(1), arm="ipt")
    labels = [label.get_text() for label in explained.plot().get_yticklabels()]
    assert any(label.startswith("Age = ") and label.endswith("years") for label in labels)
    assert set(explained.to_frame()["covariate"]) == set(planted_cohort.codebook.covariates)
    assert explained.subject == "the model's log odds of dropout under ipt"
    record = selector.model_.predict(X.iloc[0].drop("arm").to_dict())
    assert isinstance(record, Predictions)
    assert record.plot().get_xlabel() == predicted.plot().get_xlabel()


def test_titles_are_labels_of_reports(results, tmp_path):
    report, drift = results["ValidationReport"], results["MonitoringReport"]
    report.to_html(tmp_path / "r.html")
    assert "Rate of Did not complete treatment" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "&#34;Did not complete treatment&#34;: no" in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert '"Did not complete treatment": no' in " ".join(report.plot_policies().get_xlabel().split())
    assert report.outcome == "dropout"
    report.to_json(tmp_path / "r.json")
    again = type(report).from_json(tmp_path / "r.json")
    assert again.outcome_label == "Did not complete treatment"
    assert any(label.get_text() == "Age" for label in drift.plot().get_yticklabels())
    assert "age" in set(drift.figures["name"])
    card = ts.report.model_card(results["Manifest"])
    assert "Did not complete treatment" in card
