"""Rules: reading with all faults at once, application to records and tables, the example pack."""

import copy
import datetime
import json
import pickle
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from treatsel.codebook import Codebook, Field
from treatsel.datasets import load_synthetic
from treatsel.eligibility import Rule, Rules
from treatsel.errors import CohortError, InputError
from treatsel.recommendation import recommend

SECRET = "secret-4711"
SHARED = {"source": "A test", "version": 1, "date": "2026-11-01"}
CODEBOOK = Codebook(
    (
        Field(name="id", role="id"),
        Field(name="age", type="integer", role="covariate", minimum=18, maximum=90),
        Field(name="qt_ms", type="number"),
        Field(name="job", role="covariate", enum=("student", "retired", "other")),
        Field(name="stage", type="integer", role="covariate", enum=(1, 2, 3)),
        Field(name="pregnant", type="boolean", true_values=("yes",), false_values=("no",)),
        Field(name="alone", type="boolean", role="covariate"),
        Field(name="service", type="integer", role="site"),
        Field(name="seen", type="date", role="date"),
        Field(name="started", type="date"),
        Field(name="therapist", role="therapist"),
        Field(name="sessions", type="integer", role="process"),
        Field(name="arm", role="arm", enum=("cbt", "ssri", "ipt")),
        Field(name="dropout", type="integer", role="outcome", event_is_good=False),
    ),
    missing_values=("", "-99", "unknown"),
)
RECORD = {
    "age": 40,
    "qt_ms": 410.0,
    "job": "other",
    "stage": 2,
    "pregnant": "no",
    "alone": True,
    "service": 3,
}


def entry(when="age >= 65", **parts):
    return {"id": "a", "arms": ["ssri"], "when": when, "effect": "exclude", "reason": "Because.", **parts}


def rules_of(*entries, codebook=CODEBOOK, **options):
    return Rules.from_dict({**SHARED, "rules": list(entries)}, codebook=codebook, **options)


def problems(content, codebook=CODEBOOK):
    with pytest.raises(InputError) as caught:
        Rules.from_dict(content, codebook=codebook)
    return [str(fault) for fault in caught.value.faults]


def truth(when, **values):
    """The truth of a condition for one patient: of a record, a table, and a table of texts."""
    record = {**RECORD, **values}
    rules = rules_of(entry(when))
    found = rules.apply_record(record).truths[0]
    for table in (pd.DataFrame([record]), pd.DataFrame([record], dtype="object")):
        assert {0: False, 1: None, 2: True}[rules.apply(table).truths[0, 0]] is found
    if not isinstance(values.get("alone"), bool):
        texts = {name: None if v is None or v != v else str(v) for name, v in record.items()}
        assert {0: False, 1: None, 2: True}[rules.apply(pd.DataFrame([texts])).truths[0, 0]] is found
    return found


# --- values and literals


@pytest.mark.parametrize(
    ("when", "values", "expected"),
    [
        ("age >= 40", {}, True),
        ("age >= 40", {"age": "40"}, True),
        ("age >= 40", {"age": None}, None),
        ("age >= 40", {"age": float("nan")}, None),
        ("age >= 40", {"age": -99}, None),
        ("age >= 40", {"age": np.int64(39)}, False),
        ("age >= 40", {"age": 400}, True),  # the range is the codebook's matter
        ("qt_ms > 410", {"qt_ms": "unknown"}, None),
        ("qt_ms IS NULL", {"qt_ms": ""}, True),
        ("qt_ms BETWEEN 400 AND 410", {}, True),
        ("job = 'retired'", {"job": " retired "}, True),
        ("job <> 'retired'", {"job": None}, None),
        ("job IN ('retired', 'student')", {"job": "elsewhere"}, False),
        ("stage = 2", {}, True),
        ("stage IN (1, 3)", {"stage": 3.0}, True),
        ("pregnant = TRUE", {"pregnant": "yes"}, True),
        ("pregnant = 1", {"pregnant": "no"}, False),
        ("pregnant IS NULL", {"pregnant": None}, True),
        ("alone = TRUE", {"alone": 1.0}, True),
        ("alone = TRUE", {"alone": True}, True),
        ("alone <> TRUE", {"alone": "false"}, True),
        ("service = 3", {}, True),
        ("service = 4", {"service": "4"}, True),
    ],
)
def test_values_are_read_as_the_codebook_says(when, values, expected):
    assert truth(when, **values) is expected


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ("ag > 5", r"'ag' is not a column of the codebook. Did you mean 'age'"),
        ("age = '40'", r"'age' is compared with '40', but must be compared with a number"),
        ("age = TRUE", r"must be compared with a number"),
        ("age = 17", r"the codebook allows an integer from 18 to 90"),
        ("age = 40.5", r"the codebook allows an integer"),
        ("age = -99", r"stands for a missing value. Use IS NULL"),
        ("job = 5", r"must be compared with a text in single quotes"),
        ("job = 'retird'", r"the codebook allows one of .* Did you mean 'retired'"),
        ("job = ''", r"stands for a missing value"),
        ("job > 'a'", r"compared by order, but its values have none"),
        ("job BETWEEN 'a' AND 'b'", r"compared by order"),
        ("stage >= 2", r"compared by order"),
        ("stage = 4", r"the codebook allows"),
        ("alone > 0", r"compared by order"),
        ("alone = 2", r"compared with 2, but must be compared with TRUE, FALSE, 1 or 0"),
        ("service > 2", r"compared by order"),
        ("seen IS NULL", r"has role date"),
        ("started IS NULL", r"is a date. Derive a number"),
        ("dropout = 1", r"has role outcome"),
        ("sessions > 3", r"has role process"),
        ("arm = 'cbt'", r"has role arm"),
        ("therapist = 'x'", r"has role therapist"),
        ("id = 'x'", r"not about single persons"),
    ],
)
def test_what_does_not_fit_the_codebook_is_refused(when, message):
    assert len(found := problems({**SHARED, "rules": [entry(when)]})) == 1
    assert pd.Series(found).str.contains(message).all(), found
    with pytest.raises(InputError, match=message):
        rules_of(entry(when), codebook=None).for_codebook(CODEBOOK)


# --- effects


def test_unknown_warns_and_never_excludes():
    rules = rules_of(
        entry("age >= 65 AND qt_ms > 460", id="both"),
        entry("job = 'student'", id="warns", effect="warn", arms=["cbt", "ssri"], reason="A hint."),
    )
    table = pd.DataFrame(
        {
            "age": [70, 70, 40, None],
            "qt_ms": [470, None, None, None],
            "job": ["student", "other", "other", ""],
        },
        index=list("abcd"),
    )
    found = rules.apply(table)
    assert found.allowed["ssri"].tolist() == [False, True, True, True]
    assert found.allowed[["cbt", "ipt"]].to_numpy().all()
    rows = found.reasons.drop(columns="reason").apply(tuple, axis=1).tolist()
    assert rows == [
        ("a", "cbt", "warns", "warn", ()),
        ("a", "ssri", "both", "exclude", ()),
        ("a", "ssri", "warns", "warn", ()),  # all rules are evaluated
        ("b", "ssri", "both", "warn", ("qt_ms",)),
        ("d", "cbt", "warns", "warn", ("job",)),
        ("d", "ssri", "both", "warn", ("age", "qt_ms")),
        ("d", "ssri", "warns", "warn", ("job",)),
    ]
    assert found.by_rule()[["n_true", "n_unknown"]].to_numpy().tolist() == [[1, 2], [1, 1]]
    for patient, row in table.iterrows():
        one = rules.apply_record(row.to_dict())
        assert one.allowed == found.allowed.loc[patient].to_dict()
        mine = found.reasons[found.reasons["patient"] == patient].drop(columns="patient")
        assert [each.to_dict() for each in one.reasons] == [
            {**each, "unknown": list(each["unknown"])} for each in mine.to_dict("records")
        ]
    one = rules.apply_record({"age": 70, "qt_ms": 470, "job": "student"})
    assert one.excluded == {"ssri": "Because."}
    assert one.warned == {"cbt": "A hint."}  # an arm that is excluded needs no warning
    assert json.loads(json.dumps(one.to_dict()))["allowed"] == {"cbt": True, "ssri": False, "ipt": True}
    assert json.loads(json.dumps(found.to_dict()))["allowed"][0]["patient"] == "a"


def test_a_list_with_null_warns_without_an_unknown_column():
    rules = rules_of(entry("stage IN (1, NULL)"))
    found = rules.apply(pd.DataFrame({"stage": [1, 2]}))
    assert found.reasons["effect"].tolist() == ["exclude", "warn"]
    assert rules.apply_record({"stage": 2}).reasons[0].unknown == ()


def test_no_patients_and_no_hits():
    rules = rules_of(entry())
    none = rules.apply(pd.DataFrame({"age": pd.Series(dtype="float64")}))
    assert none.allowed.shape == (0, 3)
    assert len(rules.apply(pd.DataFrame({"age": [30]})).reasons) == 0
    assert list(none.reasons) == ["patient", "arm", "rule", "effect", "reason", "unknown"]


def test_order_of_rows_and_kind_of_columns_do_not_matter():
    rules = rules_of(
        entry("job IN ('student') OR stage <> 2", id="a"),
        entry("alone = TRUE AND age < 30", id="b", arms=["cbt"]),
    )
    draw = np.random.default_rng(0)
    n = 500
    table = pd.DataFrame(
        {
            "job": draw.choice(["student", "retired", "other"], n),
            "stage": draw.choice([1.0, 2.0, 3.0], n),
            "alone": draw.choice([0.0, 1.0], n),
            "age": draw.integers(18, 60, n).astype(float),
        }
    ).mask(draw.random((n, 4)) < 0.2)
    first = rules.apply(table)
    shuffled = table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(rules.apply(shuffled).allowed.sort_index(), first.allowed)
    kinds = {"job": "category", "stage": "Int64", "alone": "boolean", "age": "Float64"}
    for other in (table.astype(kinds), table.astype("object"), table.astype({"job": "string"})):
        pd.testing.assert_frame_equal(rules.apply(other).reasons, first.reasons)


class Hostile(float):
    """A number whose methods raise."""

    def __eq__(self, other):
        raise RuntimeError

    def __hash__(self):
        raise RuntimeError


ODD = [
    *(None, float("nan"), pd.NA, pd.NaT, True, False, np.True_, 1, 0, 2, -1, 10**400, 2**70, 1.5, "1", " 1 "),
    *(Decimal("1.5"), Decimal("NaN"), Fraction(3, 2), "true", "yes", "", "other", "\ud800", b"1", [1], {}),
    *(object(), datetime.date(2020, 1, 1), np.float32(1.5), np.int8(1), np.inf, "inf", Hostile(1.0), 1 + 2j),
    *(np.datetime64("NaT"), pd.Timestamp("2020-01-01"), -99, "-99"),
]


@pytest.mark.parametrize(
    "when",
    [
        *(
            "qt_ms >= 1",
            "qt_ms IN (1, 1.5, NULL)",
            "alone = TRUE",
            "pregnant = TRUE",
            "stage = 1",
            "service = 1",
        ),
        *("job = 'other'", "job <> 'other'", "job IS NULL", "qt_ms IS NULL"),
    ],
)
def test_a_record_and_a_table_read_unusual_values_alike(when):
    rules = rules_of(entry(when))
    (column,) = rules.columns

    def of_record(value):
        return rules.apply_record({column: value}).truths[0]

    def of_table(value):
        cell = pd.Series([value], dtype="object")
        return {0: False, 1: None, 2: True}[rules.apply(pd.DataFrame({column: cell})).truths[0, 0]]

    for number, value in enumerate(ODD):
        found = []
        for apply in (of_record, of_table):
            try:
                found.append(apply(value))
            except CohortError:
                found.append("unreadable")
        assert found[0] == found[1], number


def test_one_and_true_are_not_the_same_number():
    rules = rules_of(entry("age >= 65"))
    with pytest.raises(CohortError, match="'age' holds 1 value"):
        rules.apply(pd.DataFrame({"age": [70, True, 1]}, dtype="object"))


# --- what is refused when rules are applied


def test_missing_columns_and_unreadable_values_raise_without_values():
    rules = rules_of(entry("age >= 65 AND qt_ms > 460 AND job = 'other'"))
    table = pd.DataFrame({"age": [SECRET, "70"], "qt_ms": [1.0, 2.0], "job": [SECRET, "other"]})
    for apply, given in ((rules.apply, table), (rules.apply_record, table.iloc[0].to_dict())):
        with pytest.raises(CohortError, match="Column 'age' holds 1 value") as caught:
            apply(given)
        assert SECRET not in str(caught.value)
    with pytest.raises(CohortError, match="'qt_ms' is missing") as caught:
        rules.apply(table[["age"]])
    assert [fault.column for fault in caught.value.faults] == ["qt_ms", "job"]
    with pytest.raises(CohortError, match="'job' is missing"):
        rules.apply_record({"age": 70, "qt_ms": None})
    with pytest.raises(InputError, match="2 duplicates"):
        rules.apply(pd.concat([table, table]))
    with pytest.raises(InputError, match="DataFrame, not to a dict"):
        rules.apply({})
    with pytest.raises(InputError):
        rules.apply_record([("age", 70)])
    with pytest.raises(InputError, match="for_codebook"):
        rules_of(entry(), codebook=None).apply(table)


def test_results_show_no_patients():
    rules = rules_of(entry("job = 'retired'"))
    table = pd.DataFrame({"job": ["retired"] * 2 + ["other"] * 8}, index=[SECRET, *"bcdefghij"])
    found, one = rules.apply(table), rules.apply_record({"job": "retired"})
    for text in (repr(found), found._repr_html_(), repr(one), one._repr_html_()):
        assert SECRET not in text
        assert "Because" not in text
    assert "fewer than 5" in found._repr_html_()  # two patients are excluded


# --- reading


def test_all_faults_of_a_file_are_reported_at_once(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(
        """
titel: X
version: 1.10
date: 2026-11-01
rules:
- {id: a, arms: [ssri], when: 'age >', effect: exclude, reason: r, source: s}
- {id: a, arms: [sri, 5], when: 'agee > 3 AND job = 5', effect: exlude, reason: r, source: s}
- {id: yes, arms: ssri, when: 5, effect: warn, reason: '', date: 2026-13-01, source: "a\\u202Eb", why: x}
- 7
""",
        encoding="utf-8",
    )
    with pytest.raises(InputError) as caught:
        Rules.read(path, codebook=CODEBOOK)
    text = str(caught.value)
    assert text.startswith(f"{path} does not state rules ({len(caught.value.faults)} faults)")
    for part in (
        "unknown key 'titel'. Allowed: ['title'",
        "The file, version: is a number. It must be a text, in quotes",
        "rule 'a', when: Character 6: found the end",
        "rule 'a', when: 'agee' is not a column of the codebook. Did you mean 'age'?",
        "rule 'a', when: 'job' is compared with 5",
        "rule 'a', effect: is 'exlude'. Allowed: ['exclude', 'warn']. Did you mean 'exclude'?",
        "rule 'a', arms: names ['sri', '5'], which is not an arm. The arms are ['cbt', 'ssri', 'ipt'].",
        "rule 'a': its id occurs more than once",
        "rule 3, id: is yes or no",
        "rule 3, arms: is a text. It must be a list",
        "rule 3, when: is a number. It must be a condition in quotes",
        "rule 3, reason: has 0 characters",
        "rule 3, date: is not a date",
        "rule 3, source: has characters that are not seen (U+202E)",
        "rule 3: unknown key 'why'",
        "rule 4: is a number. It must be a mapping",
    ):
        assert part in text
    assert len(caught.value.faults) == 16


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[", "not valid YAML"),
        ("rules: {}", "a mapping with a list named rules"),
        ("rules: []", "0 rules"),
        ("5", "a mapping with a list named rules"),
        ("rules: [{id: a, id: b}]", r"have the keys \['id'\] twice"),
        ("rules: !!python/object/apply:os.getcwd []", "not valid YAML"),
        ("rules: &x [*x]", "rule 1: is a list"),
        ("title: [a]\nrules: [5]", "title: is a list"),
        ("rules: [" + "[" * 5000 + "]" * 5000 + "]", "not valid YAML"),
    ],
)
def test_files_that_are_no_rules(tmp_path, content, message):
    path = tmp_path / "rules.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        Rules.read(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="Cannot read the rules"):
        Rules.read(tmp_path / "absent.yaml")
    (tmp_path / "large.yaml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(InputError, match="Cannot read the rules"):
        Rules.read(tmp_path / "large.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(InputError, match="not valid YAML or JSON"):
        Rules.read(tmp_path / "bytes.yaml")


def test_aliases_that_unfold_stay_small(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    path = tmp_path / "rules.yaml"
    path.write_text(
        "\n".join([*lines, "rules: [{id: *i, arms: *i, effect: *i, when: *i}]"]), encoding="utf-8"
    )
    with pytest.raises(InputError, match="rule 1, effect: is a list"):
        Rules.read(path)


def test_yaml_json_and_dict_agree(tmp_path):
    content = {
        "title": "T",
        "limits": ["One.", "Two."],
        **SHARED,
        "rules": [entry(), entry(id="b", version="1.10")],
    }
    (tmp_path / "r.json").write_text(json.dumps(content), encoding="utf-8")
    (tmp_path / "r.yaml").write_text(json.dumps(content), encoding="utf-8")
    rules = Rules.from_dict(content, codebook=CODEBOOK)
    assert Rules.read(tmp_path / "r.json", codebook=CODEBOOK) == rules
    assert Rules.read(tmp_path / "r.yaml", codebook=CODEBOOK) == rules
    assert Rules.from_dict(rules.to_dict(), codebook=CODEBOOK) == rules
    assert rules.rules[1].version == "1.10"
    assert rules.rules[0].date == datetime.date(2026, 11, 1)
    assert rules.limits == ("One.", "Two.")
    assert rules.to_frame()["id"].tolist() == ["a", "b"]
    assert len(rules) == 2


def test_a_rule_by_hand():
    parts = {**entry(), **SHARED, "arms": ("ssri",), "date": datetime.date(2026, 11, 1)}
    rule = Rule(**parts)
    assert Rules(rules=(rule,), codebook=CODEBOOK).arms == ("cbt", "ssri", "ipt")
    assert rule.version == "1"
    with pytest.raises(InputError, match="effect: is 'maybe'"):
        Rule(**{**parts, "effect": "maybe"})
    with pytest.raises(InputError, match="one rule or more"):
        Rules(rules=())
    with pytest.raises(InputError, match="more than once"):
        Rules(rules=(rule, rule))


def test_arms():
    rules = rules_of(entry(arms=["ssri", "ipt"]), arms=["cbt", "ssri"])  # a model without one of the arms
    assert list(rules.apply(pd.DataFrame({"age": [70]})).allowed) == ["cbt", "ssri"]
    assert rules.apply_record({"age": 70}).allowed == {"cbt": True, "ssri": False}
    numbered = Codebook(
        (
            Field(name="age", type="integer", role="covariate"),
            Field(name="arm", type="integer", role="arm", enum=(1, 2)),
        )
    )
    rules = rules_of(entry(arms=["2"]), codebook=numbered)
    assert rules.apply_record({"age": 70}).allowed == {1: True, 2: False}
    free = Codebook((Field(name="age", type="integer", role="covariate"), Field(name="arm", role="arm")))
    assert rules_of(entry(arms=["x"]), codebook=free).arms == ("x",)
    with pytest.raises(InputError, match="which is not an arm"):
        rules_of(entry(arms=["x"]), codebook=free, arms=["y", "z"])


def test_rules_can_be_copied_and_sent_to_other_processes():
    rules = rules_of(entry())
    first = rules.apply_record({"age": 70})
    for other in (pickle.loads(pickle.dumps(rules)), copy.deepcopy(rules)):
        assert other == rules
        assert other.apply_record({"age": 70}).allowed == first.allowed
    assert pickle.loads(pickle.dumps(rules.apply(pd.DataFrame({"age": [70]})))).allowed["ssri"].tolist() == [
        False
    ]


# --- the example pack


def test_example_is_dated_limited_and_off_by_default():
    rules = Rules.example()
    assert rules.codebook is None
    assert "not for the care of patients" in rules.title
    assert any("not reviewed by clinicians" in text for text in rules.limits)
    assert {rule.date for rule in rules.rules} == {datetime.date(2026, 11, 30)}
    code = "import sys, treatsel, treatsel.recommendation; sys.exit('treatsel.eligibility' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_example_on_the_synthetic_cohort():
    cohort = load_synthetic("development").cohort
    codebook = cohort.codebook
    found = Rules.example(codebook=codebook).apply(cohort.frame)
    frame = cohort.frame
    severe = (frame["phq9_start"] >= 20) & (frame["chronicity_months"] >= 24)
    expected = severe & ((frame["wsas_start"] > 20) | (frame["previous_episodes"] >= 3))
    pd.testing.assert_series_equal(found.allowed["guided_self_help"], ~expected, check_names=False)
    counts = found.by_rule().set_index("rule")["n_true"]
    assert counts["adults-only"] == 0
    assert counts["more-severe-self-help"] == (frame["phq9_start"] >= 16).sum()


def test_recommendations_follow_the_permissions():
    cohort = load_synthetic("development").cohort
    rules = Rules.example(codebook=cohort.codebook)
    patients = cohort.frame.head(200)
    by_arm = pd.DataFrame(0.3, index=patients.index, columns=list(rules.arms))
    by_arm["guided_self_help"] = 0.6  # the best arm of everybody, were it permitted
    found = rules.apply(patients)
    result = recommend(by_arm, allowed=found.allowed).to_frame()
    permitted = found.allowed["guided_self_help"]
    assert 0 < (~permitted).sum() < 200
    assert (result["arm"][permitted] == "guided_self_help").all()
    assert (result["arm"][~permitted] != "guided_self_help").all()
