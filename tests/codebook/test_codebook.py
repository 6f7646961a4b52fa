import datetime as dt
import decimal
import json

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from treatsel._checks import normal_text
from treatsel._reporting.text import hidden_in
from treatsel.cli._codebook import summary
from treatsel.codebook import ROLES, TYPES, Codebook, Field
from treatsel.errors import CodebookError, CohortError, InputError

CONTENT = {
    "fields": [
        {"name": "id", "type": "string", "role": "id"},
        {"name": "age", "type": "integer", "role": "covariate", "unit": "years", "title": "Age",
         "description": "At referral", "constraints": {"minimum": 18, "maximum": 90, "required": True}},
        {"name": "format", "type": "string", "role": "covariate", "constraints": {"enum": ["yes", "3", "ä"]}},
        {"name": "arm", "type": "string", "role": "arm", "constraints": {"enum": ["CBT", "SSRI"]}},
        {"name": "remission", "type": "integer", "role": "outcome", "event_is_good": True},
        {"name": "dropout", "type": "boolean", "role": "outcome", "event_is_good": False},
        {"name": "note", "type": "string", "constraints": {"unique": True}},
    ],
    "missingValues": ["", "NA", "-99"],
}  # fmt: skip


@pytest.fixture
def book():
    return Codebook.from_dict(CONTENT)


def fields(*entries):
    return {"fields": list(entries)}


def parsed(values, *, missing=("",), dtype="object", **options):
    """Clean values of one column, and the codes of its faults."""
    column = pd.Series(values, dtype=dtype)
    clean, violations = Field(name="x", **options).parse(column, missing)
    return clean.tolist(), {violation.code: int(violation.mask.sum()) for violation in violations}


# --- reading and writing


def test_dict_round_trip(book):
    assert book.to_dict() == CONTENT
    assert Codebook.from_dict(book.to_dict()) == book
    assert hash(Codebook.from_dict(CONTENT)) == hash(book)


@pytest.mark.parametrize("name", ["book.yaml", "book.yml", "book.json", "book.JSON", "book"])
def test_file_round_trip(book, tmp_path, name):
    book.write(tmp_path / name)
    assert Codebook.read(str(tmp_path / name)) == book
    if name.lower().endswith(".json"):
        assert json.loads((tmp_path / name).read_text()) == CONTENT
    else:
        assert yaml.safe_load((tmp_path / name).read_text(encoding="utf-8")) == CONTENT


def test_yaml_leaves_empty_parts_out_and_quotes_traps(book):
    text = book.to_yaml()
    assert "null" not in text
    assert "- 'yes'" in text
    assert "- '3'" in text
    assert "ä" in text


@pytest.mark.parametrize("name", ["book.yaml", "book.json"])
def test_a_byte_order_mark_does_not_matter(book, tmp_path, name):
    book.write(tmp_path / name)
    text = (tmp_path / name).read_text(encoding="utf-8")
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert Codebook.read(tmp_path / name) == book


def test_lists_and_numpy_values_given_by_hand_are_stored_plainly(tmp_path):
    frame = pd.DataFrame({"dose": [10, 20], "arm": ["CBT", "SSRI"]})
    dose = Field(name="dose", type="integer", enum=list(frame["dose"].unique()), minimum=np.int64(1))
    arm = Field(name="arm", role="arm", enum=frame["arm"].unique())
    day = Field(name="day", type="date", enum=[dt.date(2020, 1, 31)], maximum=None)
    book = Codebook([dose, arm, day], ["", "NA"])
    assert (dose.enum, arm.enum, day.enum) == ((10, 20), ("CBT", "SSRI"), ("2020-01-31",))
    for name in ("book.yaml", "book.json"):
        book.write(tmp_path / name)
        assert Codebook.read(tmp_path / name) == book


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.yaml", None, "Cannot read the codebook .*absent.yaml: No such file"),
        ("book.yaml", b"fields:\n  - name: [age\n", r"not valid YAML or JSON \(line \d\)"),
        ("book.yaml", b"fields:\n\t- name: age\n", r"not valid YAML or JSON \(line 2\)"),
        ("book.json", b"{'fields': []}", "not valid YAML or JSON"),
        ("book.json", b"[" * 100_000, "not valid YAML or JSON"),
        ("book.yaml", b"\xff\xfe\x00", "not valid YAML or JSON"),
        ("book.yaml", b"!!python/object/apply:os.getcwd []", "not valid YAML or JSON"),
        ("book.yaml", b"", "mapping with a list named fields"),
        ("book.yaml", b"just text", "mapping with a list named fields"),
        ("book.yaml", b"fields: age", "mapping with a list named fields"),
        ("book.yaml", b"fields: []", "no fields"),
    ],
)
def test_unreadable_files(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CodebookError, match=message):
        Codebook.read(tmp_path / name)


def test_a_directory_is_not_a_codebook(book, tmp_path):
    with pytest.raises(CodebookError, match="Cannot read the codebook"):
        Codebook.read(tmp_path)
    with pytest.raises(CodebookError, match="Cannot write the codebook"):
        book.write(tmp_path)


# --- contradictions


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "int"}, "type 'int' is unknown; use one of .*'integer'"),
        ({"type": None}, "type None is unknown"),
        ({"role": "arms"}, "role 'arms' is unknown; use one of .*'arm'"),
        ({"role": ["arm"]}, r"role \['arm'\] is unknown"),
        ({"constraints": {"minimum": 1}}, "minimum and maximum need type number or integer"),
        ({"type": "integer", "constraints": {"minimum": "18"}}, "must be finite numbers"),
        ({"type": "integer", "constraints": {"minimum": True}}, "must be finite numbers"),
        ({"type": "number", "constraints": {"maximum": float("inf")}}, "must be finite numbers"),
        ({"type": "number", "constraints": {"maximum": float("nan")}}, "must be finite numbers"),
        ({"type": "number", "constraints": {"maximum": 10**400}}, "must be finite numbers"),
        ({"type": "number", "constraints": {"minimum": 1_000_001, "maximum": 1_000_000}},
         "minimum 1000001 is above maximum 1000000"),
        ({"event_is_good": "yes"}, "event_is_good must be true or false"),
        ({"event_is_good": True}, "event_is_good needs role outcome"),
        ({"constraints": {"required": "yes"}}, "required and unique must be true or false"),
        ({"constraints": {"unique": 1}}, "required and unique must be true or false"),
        ({"type": "date", "role": "covariate"}, "a date can never be a covariate; derive a number"),
        ({"type": "datetime", "role": "covariate"}, "a date can never be a covariate"),
        ({"role": "outcome"}, "an outcome is 0 or 1; use type integer or boolean"),
        ({"type": "date", "role": "outcome"}, "an outcome is 0 or 1"),
        ({"type": "number", "role": "arm"}, "is a label; use type string"),
        ({"type": "boolean", "role": "site"}, "is a label; use type string"),
        ({"constraints": {"enum": []}}, "enum is empty"),
        ({"constraints": {"enum": "ab"}}, "enum must be a list"),
        ({"constraints": {"enum": 3}}, "enum must be a list"),
        ({"constraints": {"enum": ["a", "b", "a"]}}, "enum lists a value twice"),
        ({"type": "number", "constraints": {"enum": [3, 3.0]}}, "enum lists a value twice"),
        ({"constraints": {"enum": [True, False]}}, "put quotes around yes and no"),
        ({"constraints": {"enum": ["a", None]}}, "enum has an empty entry; put quotes around null"),
        ({"type": "integer", "constraints": {"enum": [1, "2"]}}, "enum must hold numbers"),
        ({"type": "integer", "constraints": {"enum": [2, True]}}, "enum must hold numbers"),
        ({"type": "boolean", "constraints": {"enum": ["maybe"]}}, "does not fit its type, boolean"),
        ({"type": "date", "constraints": {"enum": ["31/01/2020"]}}, "does not fit its type, date"),
        ({"constraints": [1]}, "constraints must be a mapping"),
        ({"constraints": {"minimun": 1}}, "unknown key 'minimun'.*Did you mean 'minimum'"),
        ({"rol": "arm"}, "unknown key 'rol'.*Did you mean 'role'"),
        ({"minimum": 1}, "unknown key 'minimum'"),
        ({1: 2}, "unknown key '1'"),
    ],
)  # fmt: skip
def test_a_field_that_contradicts_itself(entry, message):
    with pytest.raises(CodebookError, match=f"Codebook field 'x'.*{message}"):
        Codebook.from_dict(fields({"name": "x", **entry}))


@pytest.mark.parametrize(
    "entry", ["age", {}, {"name": ""}, {"name": None}, {"name": True}, {"name": 7}, None]
)
def test_a_field_needs_a_name(entry):
    with pytest.raises(CodebookError, match=r"needs a name \(put quotes around yes, no and numbers\)"):
        Codebook.from_dict(fields(entry))
    with pytest.raises(CodebookError, match="name must be text"):
        Field(name=7)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (fields({"name": "a"}, {"name": "a"}), r"lists \['a'\] more than once"),
        (fields({"name": "a"}) | {"title": "x"}, r"unknown keys \['title'\]"),
        (fields({"name": "a"}) | {"missingValues": "NA"}, "must be a list of quoted strings"),
        (fields({"name": "a"}) | {"missingValues": [-99]}, "must be a list of quoted strings"),
        (fields({"name": "a"}) | {"missingValues": None}, "must be a list of quoted strings"),
        (None, "mapping with a list named fields"),
        ([], "mapping with a list named fields"),
        ({"fields": {"name": "a"}}, "mapping with a list named fields"),
    ],
)
def test_a_codebook_that_contradicts_itself(content, message):
    with pytest.raises(CodebookError, match=message):
        Codebook.from_dict(content)


@pytest.mark.parametrize("role", ["id", "arm", "site", "therapist", "person"])
def test_roles_that_one_column_can_play(role):
    with pytest.raises(CodebookError, match=rf"Columns \['a', 'b'\] all have role '{role}'; only one can"):
        Codebook((Field(name="a", role=role), Field(name="b", role=role)))


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"id", "arm", "site", "therapist", "person"}))
def test_roles_that_many_columns_can_play(role):
    kind = "date" if role == "date" else "integer"
    flag = ">= 1" if role == "safety_item" else None
    book = Codebook(tuple(Field(name=name, role=role, type=kind, flag=flag) for name in "ab"))
    assert book.names(role) == ("a", "b")


def test_codebook_errors_are_value_errors():
    with pytest.raises(ValueError, match="no fields"):
        Codebook(())


# --- YAML traps


def read_yaml(text, tmp_path):
    (tmp_path / "book.yaml").write_text(text, encoding="utf-8")
    return Codebook.read(tmp_path / "book.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fields:\n- name: smoker\n  constraints: {enum: [yes, no]}", "put quotes around yes and no"),
        ("fields:\n- name: x\n  constraints: {enum: [on, off, other]}", "put quotes around yes and no"),
        ("fields:\n- name: x\n  constraints: {enum: [a, null]}", "put quotes around null"),
        ("fields:\n- name: yes", "put quotes around yes, no and numbers"),
        ("fields:\n- name: 2020", "put quotes around yes, no and numbers"),
        ("fields:\n- name: x\nmissingValues: [NA, -99]", "list of quoted strings"),
        ("fields:\n- name: x\nmissingValues: NA", "list of quoted strings"),
        ("fields:\n- name: x\n  type: integer\n  constraints:\n    minimum: '0'", "finite numbers"),
    ],
)
def test_yaml_traps_are_named(tmp_path, text, message):
    with pytest.raises(CodebookError, match=message):
        read_yaml(text, tmp_path)


def test_unambiguous_yaml_is_accepted(tmp_path):
    book = read_yaml(
        "fields:\n- name: smoker\n  type: boolean\n  constraints: {enum: [yes, no]}\n"
        "- name: n\n  title: null\n  role: null\n  constraints: {enum: [1, 2]}\n"
        "- name: day\n  type: date\n  constraints: {enum: [2020-01-31]}\n"
        "- name: 'no'\n  constraints: null\n",
        tmp_path,
    )
    frame = pd.DataFrame({"smoker": ["1", "true"], "n": [1, 2.0], "day": ["2020-01-31"] * 2, "no": ["a", ""]})
    clean = book.check(frame)
    assert clean["smoker"].tolist() == [1, 1]
    assert clean["n"].tolist() == ["1", "2"]
    assert clean["day"].tolist() == [pd.Timestamp("2020-01-31")] * 2
    assert clean["no"].isna().tolist() == [False, True]
    assert Codebook.from_dict(book.to_dict()) == book


# --- looking up and changing


def test_lookup(book):
    assert (book.arm, book.outcomes, book.covariates) == ("arm", ("remission", "dropout"), ("age", "format"))
    assert book.name("site") is None
    assert book.names("id", "arm") == ("id", "arm")
    assert book.names(None) == ("note",)
    assert len(book.names()) == 7
    assert "age" in book
    assert "Age" not in book
    assert book["age"].unit == "years"
    with pytest.raises(CodebookError, match=r"no column 'AGE'\. Did you mean 'age'"):
        book["AGE"]


def test_only_keeps_order_and_missing_values(book):
    assert book.subset(["arm", "age", "nothing"]).names() == ("age", "arm")
    assert book.subset(["age"]).missing_values == book.missing_values
    with pytest.raises(CodebookError, match="no fields"):
        book.subset([])


def test_with_role(book):
    assert book["age"].with_role(None).role is None
    assert book["age"].with_role("audit").maximum == 90
    with pytest.raises(CodebookError, match="event_is_good needs role outcome"):
        book["dropout"].with_role("arm")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"type": "string"}, "text"),
        ({"type": "boolean"}, "true or false (1 or 0)"),
        ({"type": "date"}, "a date"),
        ({"type": "number", "minimum": 0.5}, "a number of at least 0.5"),
        ({"type": "integer", "maximum": 12345678}, "an integer of at most 12345678"),
        ({"type": "integer", "minimum": 0, "maximum": 27}, "an integer from 0 to 27"),
        ({"enum": ("a", 3)}, "one of a, 3"),
        ({"enum": tuple(map(str, range(20)))}, "one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, ..."),
    ],
)
def test_allowed_in_words(options, words):
    assert Field(name="x", **options).allowed == words


# --- merging


def test_merge_changes_what_the_edits_name_and_nothing_else(book):
    merged = book.merge(
        fields(
            {"name": "age", "unit": "a", "constraints": {"maximum": 110}}, {"name": "format", "role": None}
        )
    )
    expected = json.loads(json.dumps(CONTENT))
    expected["fields"][1]["unit"] = "a"
    expected["fields"][1]["constraints"]["maximum"] = 110
    del expected["fields"][2]["role"]
    assert merged.to_dict() == expected
    assert book.to_dict() == CONTENT
    assert book.merge({}) == book
    assert book.merge(fields()) == book


def test_merge_removes_parts_set_to_none(book):
    edits = fields(
        {"name": "age", "title": None, "constraints": {"minimum": None, "required": None}},
        {"name": "format", "constraints": None},
        {"name": "remission", "event_is_good": None},
    )
    merged = book.merge(edits)
    assert merged["age"] == Field(
        name="age", type="integer", role="covariate", unit="years", description="At referral", maximum=90
    )
    assert merged["format"].enum is None
    assert merged["remission"].event_is_good is None
    assert merged.missing_values == book.missing_values
    assert book.merge({"missingValues": ["."]}).missing_values == (".",)


def test_merge_with_a_whole_codebook(book):
    assert book.merge(book) == book
    edited = Codebook(tuple(field.with_role(None) if field.name == "age" else field for field in book.fields))
    merged = book.merge(edited)
    assert merged.covariates == ("format",), "a role that a person took away must not come back"
    assert merged["age"].maximum == 90
    assert merged.missing_values == ("",)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        (fields({"name": "agee", "unit": "years"}), "name 'agee', which is not a column. Did you mean 'age'"),
        (fields({"name": "age", "constraints": {"minimum": 200}}), "minimum 200 is above maximum 90"),
        (fields({"name": "age", "constraints": [1]}), "constraints must be a mapping"),
        (fields({"name": "age", "units": "years"}), "unknown key 'units'"),
        (fields({"name": "age"}, {"name": "age"}), "more than once"),
        (fields({"unit": "years"}), "each a mapping with a name"),
        (fields("age"), "each a mapping with a name"),
        ({"fields": {"name": "age"}}, "each a mapping with a name"),
        ({"feilds": []}, r"unknown keys \['feilds'\]"),
        ({"missingValues": "NA"}, "list of quoted strings"),
        ([], "must be a mapping"),
        (fields({"name": "age", "role": "arm"}), "all have role 'arm'"),
    ],
)
def test_bad_edits(book, edits, message):
    with pytest.raises(CodebookError, match=message):
        book.merge(edits)


# --- drafting


def draft(values, name="x", **options):
    return Codebook.infer(pd.DataFrame({name: pd.Series(values)}), **options)[name]


DRAFTS = {
    "ages": ([31, 44], {"type": "integer", "role": "covariate", "minimum": 30, "maximum": 50}),
    "numeric texts": (["31", "", "44"], {"type": "integer", "minimum": 30, "maximum": 50}),
    "fractions": ([1.5, None, 3.0], {"type": "number", "minimum": 1, "maximum": 3}),
    "integers beside a missing": ([1.0, np.nan, 3.0], {"type": "integer", "minimum": 1, "maximum": 3}),
    "zero and one": ([0, 1, None], {"type": "boolean", "role": "covariate"}),
    "booleans": ([True, False, None], {"type": "boolean", "role": "covariate"}),
    "words": (["TRUE", "false"], {"type": "boolean"}),
    "yes and no": (["yes", "no"] * 5, {"type": "string", "enum": ("no", "yes")}),
    "texts": (["b", "a", None, "b"] * 5, {"type": "string", "role": "covariate", "enum": ("a", "b")}),
    "a rare text": (["b"] * 5 + ["a"] * 4, {"type": "string", "role": "covariate", "enum": None}),
    "many texts": ([f"t{i}" for i in range(31)], {"type": "string", "role": None, "enum": None}),
    "30 texts": ([f"t{i % 30}" for i in range(31)], {"type": "string", "role": "covariate"}),
    "no text twice": ([f"t{i}" for i in range(30)], {"type": "string", "role": "undecided"}),
    "dates": (["2020-01-31", "2021-02-28"], {"type": "date", "role": "date"}),
    "moments": (["2020-01-31T10:00", "2021-02-28 11:00"], {"type": "date", "role": "date"}),
    "timestamps": (pd.to_datetime(["2020-01-31"]), {"type": "datetime", "role": "date"}),
    "python dates": ([dt.date(2020, 1, 31)], {"type": "date", "role": "date"}),
    "nothing": ([None, None], {"type": "string", "role": "covariate", "enum": None}),
    "infinite": ([1.0, np.inf], {"type": "number", "minimum": None, "maximum": None}),
    "lists": ([[i] for i in range(31)], {"type": "string", "role": None}),
    "categories": (pd.Categorical(["b", "a"] * 5), {"type": "string", "enum": ("a", "b")}),
    "mixed labels": ([3.0, "a"] * 5, {"type": "string", "enum": ("3", "a")}),
}  # fmt: skip


@pytest.mark.parametrize("case", DRAFTS)
def test_draft_of_a_column(case):
    values, expected = DRAFTS[case]
    field = draft(values)
    assert {key: getattr(field, key) for key in expected} == expected


@pytest.mark.parametrize(
    "name", ["hamd_6m", "phq9_wk4", "score_w2", "phq_last", "cesd_end", "PHQ9_Post", "gad_week_12", "x_10d",
             "phq_session3", "madrs_month6"]
)  # fmt: skip
def test_columns_measured_after_baseline_are_never_covariates(name):
    assert draft([1, 2, 3], name).role == "session_score"
    assert draft([0, 1], name).role == "session_score"


@pytest.mark.parametrize(
    "name", ["sessions_attended", "n_sessions", "Number of sessions", "appointments_missed", "attendance",
             "dropout_reason", "reason_for_ending", "discharge_reason", "dropout_week", "offtrt"]
)  # fmt: skip
def test_attendance_and_endings_are_process_columns(name):
    assert draft([1, 2, 3], name).role == "process"
    assert draft([f"text {i}" for i in range(50)], name).enum is None
    assert draft([0, 1], f"prior_{name}").role in ("covariate", "undecided")


def test_dropout_that_is_not_the_outcome_is_a_process_column():
    frame = pd.DataFrame({"arm": ["a", "b"], "y": [0, 1], "dropout": [0, 1], "recovered": [0, 1]})
    assert Codebook.infer(frame)["dropout"].role == "outcome"
    book = Codebook.infer(frame, outcomes=["y"])
    assert (book["dropout"].role, book["recovered"].role) == ("process", "session_score")


@pytest.mark.parametrize("name", ["age", "phq9_start", "weeks", "month", "item_9", "postcode_area", "gad7"])
def test_columns_with_similar_names_are_not_affected(name):
    assert draft([1, 2, 3], name).role == "covariate"


def test_draft_of_a_table():
    frame = pd.DataFrame(
        {"Unnamed: 0": [0, 1], "patient_id": [7, 8], "Centre": [1, 2], "treatment": ["a", "b"],
         "age": [20, 30], "remission_6m": [0, 1], "dropout": [True, False], "response_time": [1.5, 2.5],
         "phq_6m": [3, 4]}
    )  # fmt: skip
    book = Codebook.infer(frame)
    roles = {field.name: field.role for field in book.fields}
    assert roles == {
        "Unnamed: 0": None,
        "patient_id": "id",
        "Centre": "site",
        "treatment": "arm",
        "age": "covariate",
        "remission_6m": "outcome",
        "dropout": "outcome",
        "response_time": "covariate",
        "phq_6m": "session_score",
    }
    assert (book["remission_6m"].event_is_good, book["dropout"].event_is_good) == (None, None)
    assert book["patient_id"].type == "string"
    assert book["treatment"].enum is None
    assert "fewer than 5 patients" in book["treatment"].note


def test_draft_follows_the_given_options():
    frame = pd.DataFrame({"Service": [1, 2], "arm": ["a", "b"], "y": [0, 1], "remission": [0, 1]})
    book = Codebook.infer(frame, arm="Service", site="arm", outcomes=["y"], ranges=False)
    assert {field.name: field.role for field in book.fields} == {
        "Service": "arm", "arm": "site", "y": "outcome", "remission": "session_score",
    }  # fmt: skip
    assert book["y"].event_is_good is None
    assert Codebook.infer(frame, outcomes=[]).outcomes == ()
    assert Codebook.infer(frame, arm="Service").name("site") is None
    assert draft([20, 30], ranges=False).minimum is None


def test_a_draft_remarks_on_constant_columns():
    frame = pd.DataFrame(
        {
            "arm": ["a", "b"] * 10,
            "language": "UK",
            "version": 3,
            "ticked": ["1", ""] * 10,
            "empty": "",
            "age": [str(20 + i % 7) for i in range(20)],
        }
    )
    book = Codebook.infer(frame, arm="arm", outcomes=[])
    assert book.covariates == ("language", "version", "ticked", "empty", "age")
    for name in ("language", "version"):
        assert book[name].note.startswith("Holds a single value in this table")
    assert "do these mean no" in book["ticked"].note
    assert book["empty"].note.startswith("Holds no value")
    assert "value in this table" not in book["age"].note
    told = summary(book)
    assert "No value, or a single one: ['language', 'version', 'ticked', 'empty']. " in told
    assert "--role language=none" in told


def test_notes_ask_only_what_was_not_stated():
    frame = pd.DataFrame({"service": [1, 2] * 5, "arm": ["a", "b"] * 5, "y": [0, 1] * 5})
    guessed, stated = Codebook.infer(frame, outcomes=["y"]), Codebook.infer(frame, arm="arm", outcomes=["y"])
    assert guessed["arm"].note == "Role arm by its name."
    assert (stated["arm"].note, stated["service"].note) == ("", "Role site by its name.")
    assert stated["y"].note.startswith("State event_is_good")
    assert stated.merge(fields({"name": "y", "event_is_good": False}))["y"].note == ""
    assert stated.merge(fields({"name": "y", "title": "Score"}))["y"].note == stated["y"].note
    assert draft(["20", "NA"], missing_values=["NA"]).type == "integer"


def test_draft_fits_its_own_table(tmp_path):
    frame = pd.DataFrame({name: pd.Series(values) for name, (values, _) in DRAFTS.items()})
    frame = frame.drop(columns=["nothing", "infinite"])
    frame["arm"] = pd.Series([1.0, 2.0] * 15)  # floats, as in a column with missing values
    frame["arm"] = frame["arm"].fillna(1)
    frame["recovered"] = ["true", "false"] * 15 + ["true"]
    book = Codebook.infer(frame)
    assert book["arm"].enum == (1, 2)
    book.write(tmp_path / "draft.yaml")
    assert Codebook.read(tmp_path / "draft.yaml") == book
    clean = book.check(frame)
    assert set(clean["arm"]) == {1, 2}
    assert set(clean["recovered"]) == {0.0, 1.0}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda frame: Codebook.infer(frame.head(0)), "rows and columns"),
        (lambda frame: Codebook.infer(frame[[]]), "rows and columns"),
        (lambda frame: Codebook.infer([{"a": 1}]), "rows and columns"),
        (lambda frame: Codebook.infer(frame, arm="amr"), "no column 'amr'. Did you mean 'arm'"),
        (lambda frame: Codebook.infer(frame, outcomes=["remision"]), "Did you mean 'remission'"),
        (lambda frame: Codebook.infer(frame, site="where"), "no column 'where'.$"),
        (lambda frame: Codebook.infer(frame, missing_values="NA"), "list of quoted strings"),
        (lambda frame: Codebook.infer(pd.concat([frame, frame], axis=1)), "more than once"),
        (lambda frame: Codebook.infer(frame.set_axis([True, "True"], axis=1)), r"more than once: \['True'\]"),
    ],
)
def test_what_cannot_be_drafted(call, message):
    with pytest.raises(CodebookError, match=message):
        call(pd.DataFrame({"arm": ["a", "b"], "remission": [0, 1]}))


# --- from raw values to clean ones

NAN = float("nan")
SOURCES = {
    "list": [1, 0, None],
    "floats": np.array([1.0, 0.0, np.nan]),
    "texts": ["1", "0", ""],
    "str": pd.array(["1", "0", None], dtype="str" if pd.__version__ >= "3" else "string"),
    "string": pd.array(["1", "0", None], dtype="string"),
    "Int64": pd.array([1, 0, None], dtype="Int64"),
    "UInt8": pd.array([1, 0, None], dtype="UInt8"),
    "Float32": pd.array([1, 0, None], dtype="Float32"),
    "boolean": pd.array([True, False, None], dtype="boolean"),
    "objects": pd.array([True, False, None], dtype="object"),
    "categories of numbers": pd.Categorical([1, 0, None]),
    "categories of texts": pd.Categorical(["1", "0", None]),
    "decimals": [decimal.Decimal(1), decimal.Decimal(0), None],
    "mixed": [1, "0", pd.NA],
    "mixed with booleans": [True, 0.0, pd.NaT],
    "arrow int": "int64[pyarrow]",
    "arrow double": "double[pyarrow]",
    "arrow bool": "bool[pyarrow]",
    "arrow string": "string[pyarrow]",
}


def source(name):
    values = SOURCES[name]
    if isinstance(values, str):
        pytest.importorskip("pyarrow")
        of = {"string[pyarrow]": ["1", "0", None], "bool[pyarrow]": [True, False, None]}
        return pd.Series(of.get(values, [1, 0, None]), dtype=values)
    return pd.Series(values, dtype="object" if isinstance(values, list) else None)


@pytest.mark.parametrize("kind", ["number", "integer", "boolean"])
@pytest.mark.parametrize("name", SOURCES)
def test_numbers_and_booleans_become_floats_from_any_source(name, kind):
    column = source(name).set_axis([7, 5, 5])
    clean, violations = Field(name="x", type=kind).parse(column)
    if ("bool" in name or name == "objects") and kind != "boolean":  # a truth is not a measurement
        assert [violation.code for violation in violations] == ["wrong_type"]
        return
    assert not violations
    assert clean.dtype == np.float64
    assert clean.index.tolist() == [7, 5, 5]
    np.testing.assert_array_equal(clean, [1, 0, np.nan])


@pytest.mark.parametrize("name", [name for name in SOURCES if "bool" not in name and name != "objects"])
def test_labels_become_texts_from_any_source(name):
    clean, violations = Field(name="x", enum=("0", 1)).parse(source(name))
    assert not violations
    assert clean.dtype == object
    assert clean.tolist()[:2] == ["1", "0"]
    assert pd.isna(clean[2])


@pytest.mark.parametrize(
    ("value", "label"),
    [(3, "3"), (3.0, "3"), (np.float32(3), "3"), (2.5, "2.5"), (True, "True"), ("3.0", "3.0"), (" a ", "a"),
     (2**60 + 1, str(2**60 + 1)), ("nan", "nan"), ("None", "None")],
)  # fmt: skip
def test_labels_are_not_changed(value, label):
    assert parsed([value]) == ([label], {})


def test_equal_values_of_different_types_stay_different_labels():
    assert parsed([1, True, 1.0, "1"])[0] == ["1", "True", "1", "1"]


@pytest.mark.parametrize("role", ["id", "arm", "site", "therapist", "person"])
def test_names_that_are_numbers_are_labels(role):
    book = Codebook((Field(name="x", type="integer", role=role, enum=(1, 2, 2**60 + 1)),))
    kind = int if role == "arm" else str  # arms keep their type
    for values in ([1, 2], [1.0, 2.0], ["1", "2"]):
        assert book.check(pd.DataFrame({"x": values}))["x"].tolist() == [kind(1), kind(2)]
    assert book.check(pd.DataFrame({"x": [2**60 + 1]}))["x"].tolist() == [kind(2**60 + 1)]
    _, violations = book["x"].parse(pd.Series(["1", "b", 3, 1.5], dtype="object"))
    assert [v.code for v in violations] == ["wrong_type", "not_integer", "unseen_category"]


@pytest.mark.parametrize(
    ("values", "clean", "problems"),
    [
        (["1.5", " 2 ", "1e3", ".5"], [1.5, 2, 1000, 0.5], {}),
        (["nan", "NaN", "None", "NA"], [NAN] * 4, {"wrong_type": 4}),
        (["inf", "-Infinity"], [np.inf, -np.inf], {"infinite": 2}),
        ([np.inf, 10**400, -(10**400)], [np.inf, np.inf, -np.inf], {"infinite": 3}),
        (["1,5", "5%", "0x10", "1_000", "five", " "], [NAN] * 6, {"wrong_type": 5}),  # the blank is missing
        ([1j, b"5", [1], {"a": 1}, dt.date(2020, 1, 1), pd.Timedelta("1D")], [NAN] * 6, {"wrong_type": 6}),
        (["True", "false"], [NAN] * 2, {"wrong_type": 2}),
        ([None, "", np.nan], [NAN] * 3, {}),
    ],
)
def test_numbers(values, clean, problems):
    found, violations = parsed(values, type="number")
    np.testing.assert_array_equal(found, clean)
    assert violations == problems


def test_complex_numbers_are_refused():
    assert parsed([1 + 0j, 2j], type="number", dtype="complex128")[1] == {"wrong_type": 2}


def test_integers():
    found, violations = parsed([1, 2.0, "3", "3.0", 2.5, "2.5", np.inf, None], type="integer")
    np.testing.assert_array_equal(found, [1, 2, 3, 3, 2.5, 2.5, np.inf, NAN])
    assert violations == {"infinite": 1, "not_integer": 2}


def test_range_includes_its_ends():
    values = [18, 90, 17.999, 90.001, -np.inf, np.inf, None]
    assert parsed(values, type="number", minimum=18, maximum=90)[1] == {"infinite": 2, "out_of_range": 2}
    assert parsed(values, type="number", minimum=18)[1] == {"infinite": 2, "out_of_range": 1}
    assert parsed([0, -1], type="number", maximum=0)[1] == {}


@pytest.mark.parametrize(
    ("values", "clean", "problems"),
    [
        (["true", "FALSE", " True ", "1", "0.0"], [1, 0, 1, 1, 0], {}),
        ([True, np.bool_(False), 1, 0.0, None], [1, 0, 1, 0, NAN], {}),
        (["yes", "no", "t", "2", 2, 0.5], [NAN] * 6, {"wrong_type": 6}),
    ],
)
def test_booleans(values, clean, problems):
    found, violations = parsed(values, type="boolean")
    np.testing.assert_array_equal(found, clean)
    assert violations == problems


def test_boolean_column_of_numbers():
    found, violations = parsed([0, 1, 2], type="boolean", dtype="int64")
    np.testing.assert_array_equal(found, [0, 1, NAN])
    assert violations == {"wrong_type": 1}


@pytest.mark.parametrize("kind", ["date", "datetime"])
def test_dates(kind):
    values = ["2020-01-31", "2020-01-31T01:00+01:00", dt.date(2020, 1, 31), dt.datetime(2020, 1, 31)]
    values += [np.datetime64("2020-01-31"), pd.Timestamp("2020-01-31"), pd.Timestamp("2020-01-31", tz="UTC")]
    clean, violations = parsed(values, type=kind)
    assert clean == [pd.Timestamp("2020-01-31")] * 7
    assert violations == {}
    wrong = ["31/01/2020", "2020-02-30", "soon", 20200131, 1.5, pd.Timedelta("1D"), True]
    assert parsed([*wrong, None, ""], type=kind)[1] == {"wrong_type": len(wrong)}


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "datetime64[s]", "datetime64[ns, Europe/London]"])
def test_date_columns_lose_their_zone_only(dtype):
    column = pd.Series(["2020-01-31", None], dtype=dtype)
    clean, violations = Field(name="x", type="date").parse(column)
    assert not violations
    assert pd.api.types.is_datetime64_dtype(clean.dtype)
    assert clean[0] == pd.Timestamp("2020-01-31")


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([-99, 5], "int64"), ([-99.0, 5.0], "float64"), (["-99", "5"], "object"), ([-99, "5"], "object"),
     ([-99, 5], "Int64")],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["number", "integer", "string"])
def test_missing_values_are_the_same_as_text_and_as_number(values, dtype, kind):
    clean, violations = parsed(values, missing=("", "-99"), type=kind, dtype=dtype)
    assert pd.isna(clean[0])
    assert clean[1] in (5.0, "5")
    assert violations == {}


def test_missing_values_must_match_whole():
    assert parsed(["NA", "NAs", "na"], missing=("NA",))[0][1:] == ["NAs", "na"]
    assert parsed(["", "NA"], missing=("NA",), type="number")[1] == {"wrong_type": 1}
    assert parsed([""], missing=()) == ([""], {})


def test_required_counts_what_is_absent_and_not_what_is_wrong():
    assert parsed(["x", "", None, "5"], type="number", required=True)[1] == {
        "wrong_type": 1,
        "missing_required": 2,
    }
    assert parsed([None], role="arm")[1] == {"missing_required": 1}
    assert parsed([None], role="id")[1] == {"missing_required": 1}
    assert parsed([None], role="site")[1] == {}


def test_unique():
    assert parsed(["a", "b", "a", "a", None, None], unique=True)[1] == {"duplicate": 2}
    assert parsed([1.0, 1], unique=True, type="number")[1] == {"duplicate": 1}
    assert parsed(["a", "a"])[1] == {}


def test_unlisted_categories():
    assert parsed(["a", "A", "a ", None], enum=("a",))[1] == {"unseen_category": 1}
    assert parsed([1, 2.5, 3], type="number", enum=(1, 2.5))[1] == {"unseen_category": 1}
    assert parsed([True, False], type="boolean", enum=(True,))[1] == {"unseen_category": 1}
    assert parsed(["2020-01-01", "2020-01-02"], type="date", enum=("2020-01-01",))[1] == {
        "unseen_category": 1
    }


@pytest.mark.parametrize("kind", ["integer", "boolean", "number"])
def test_outcomes(kind):
    assert parsed([0, 1.0, "1", True, None], role="outcome", type=kind)[1] == {}
    code = "wrong_type" if kind == "boolean" else "not_binary"
    assert parsed([2, 0.5, -1], role="outcome", type=kind)[1] == {code: 3}


@pytest.mark.parametrize("kind", TYPES)
def test_an_empty_column_of_any_kind(kind):
    for dtype in ("object", "float64"):
        assert parsed([], type=kind, dtype=dtype) == ([], {})
        clean, violations = parsed([None, None], type=kind, dtype=dtype)
        assert pd.isna(clean).all()
        assert violations == {}


def test_each_violation_has_a_fault_in_words():
    field = Field(name="age", type="integer", role="covariate", minimum=18, maximum=90)
    clean, violations = field.parse(pd.Series(["17", "x", "30.5", "40"], dtype="object"))
    faults = [field.fault(violation.code, violation.count) for violation in violations]
    assert clean.tolist()[2:] == [30.5, 40]
    assert [(fault.column, fault.problem) for fault in faults] == [
        ("age", "holds 1 value that is not an integer from 18 to 90"),
        ("age", "holds 1 value out of range"),
        ("age", "holds 1 value that is not a whole number"),
    ]
    assert all(fault.remedy.startswith("Allowed: an integer from 18 to 90.") for fault in faults)


# --- whole tables


def test_check_gives_the_clean_table_in_codebook_order(book):
    frame = pd.DataFrame(
        {"dropout": ["0", "NA"], "arm": ["CBT", "SSRI"], "remission": [True, None], "age": ["31", "44"],
         "id": [1, 2], "format": [3, None]},
        index=[5, 5],
    )  # fmt: skip
    clean = book.check(frame)
    assert clean.columns.tolist() == ["id", "age", "format", "arm", "remission", "dropout"]
    assert clean.index.tolist() == [5, 5]
    assert clean["id"].tolist() == ["1", "2"]
    assert clean["age"].tolist() == [31.0, 44.0]
    np.testing.assert_array_equal(clean["dropout"], [0, np.nan])


def test_check_is_idempotent(book):
    frame = pd.DataFrame(
        {"id": [1], "age": [31], "format": ["ä"], "arm": ["CBT"], "remission": [1], "dropout": [0]}
    )
    clean = book.check(frame)
    pd.testing.assert_frame_equal(book.check(clean), clean)


def test_check_reports_missing_unknown_and_repeated_columns(book):
    frame = pd.DataFrame(
        [[1, 31, 31, "CBT", 0, 1]], columns=["id", "age", "age", "ARM", "remision", "dropout"]
    )
    with pytest.raises(CohortError, match="does not fit its codebook") as error:
        book.check(frame)
    found = {(fault.column, fault.problem) for fault in error.value.faults}
    assert found == {
        ("age", "occurs 2 times"),
        ("ARM", "is not in the codebook"),
        ("remision", "is not in the codebook"),
        ("arm", "is missing from the table"),
        ("format", "is missing from the table"),
        ("remission", "is missing from the table"),
    }
    assert "Did you mean 'ARM'" in str(error.value)
    assert "Did you mean 'remission'" in str(error.value)


def test_columns_that_may_be_absent():
    book = Codebook.from_dict(
        fields(
            {"name": "a"},
            {"name": "b", "role": "session_score", "type": "number"},
            {"name": "b2", "role": "process", "type": "integer"},
            {"name": "c", "role": "date", "type": "date"},
            {"name": "d", "role": "audit"},
        )
    )
    _, faults = book.parse(pd.DataFrame(index=[0, 1]))
    assert [fault.column for fault in faults] == ["d"]
    clean, faults = book.parse(pd.DataFrame({"a": ["x"]}), names=["a"])
    assert (clean.columns.tolist(), faults) == (["a"], [])


# --- invariances

texts = st.text(st.characters(codec="utf-8"), max_size=12)
shown_texts = texts.filter(lambda text: not hidden_in(text))  # others are refused as names and values
bounds = st.one_of(st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False))


@st.composite
def random_fields(draw, name):
    kind = draw(st.sampled_from(TYPES))
    numeric, dated = kind in ("number", "integer"), kind in ("date", "datetime")
    roles = {"session_score", "process", "audit", "date", None} | (set() if dated else {"covariate"})
    roles |= {"outcome"} if numeric or kind == "boolean" else set()
    role = draw(st.sampled_from(sorted(roles, key=str)))
    low, high = sorted([draw(bounds), draw(bounds)]) if numeric else (None, None)
    entries = {"string": st.one_of(texts, st.integers()), "number": bounds, "integer": bounds,
               "boolean": st.booleans(), "date": st.dates(), "datetime": st.datetimes()}[kind]  # fmt: skip
    try:
        return Field(
            name=name, type=kind, role=role, minimum=low, maximum=high,
            title=draw(texts), description=draw(texts), unit=draw(texts),
            event_is_good=draw(st.sampled_from([None, True, False])) if role == "outcome" else None,
            enum=draw(st.one_of(st.none(), st.lists(entries, min_size=1, max_size=4, unique_by=str))),
            required=draw(st.booleans()), unique=draw(st.booleans()),
        )  # fmt: skip
    except CodebookError:  # an enum of 3 and 3.0
        return Field(name=name)


@st.composite
def codebooks(draw):
    names = draw(st.lists(shown_texts.filter(bool), min_size=1, max_size=4, unique=True))
    missing = tuple(draw(st.lists(shown_texts, max_size=3)))
    return Codebook(tuple(draw(random_fields(name)) for name in names), missing)


@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(book=codebooks(), suffix=st.sampled_from(["yaml", "json"]))
def test_reading_what_was_written_gives_the_same_codebook(tmp_path_factory, book, suffix):
    path = tmp_path_factory.mktemp("books") / f"book.{suffix}"
    book.write(path)
    assert Codebook.read(path) == book
    assert book.merge(book) == book
    assert book.merge({}) == book


numbers = st.one_of(st.integers(), st.floats(), st.decimals(allow_nan=False), st.complex_numbers())
others = st.one_of(st.none(), st.booleans(), st.binary(max_size=3), st.lists(st.integers(), max_size=2))
cells = st.one_of(numbers, others, texts, st.dates(), st.datetimes())


@settings(deadline=None, max_examples=150)
@given(values=st.lists(cells, max_size=6), kind=st.sampled_from(TYPES))
def test_no_value_crashes_the_parser_and_each_is_clean_missing_or_a_fault(values, kind):
    column = pd.Series(values, dtype="object")
    clean, violations = Field(name="x", type=kind).parse(column)
    wrong = next((v.mask for v in violations if v.code == "wrong_type"), pd.Series(False, index=column.index))
    blank = column.map(lambda value: isinstance(value, str) and not normal_text(value)).astype(bool)
    absent = column.isna() | blank
    assert ((clean.notna().astype(int) + wrong.astype(int) + absent.astype(int)) == 1).all()


@settings(deadline=None, max_examples=100)
@given(values=st.lists(cells, min_size=1, max_size=6))
@example(values=[1.0000000010000002e308])
@example(values=[1.7e308, -1.7e308])
def test_any_column_can_be_drafted(values):
    book = Codebook.infer(pd.DataFrame({"one column": pd.Series(values, dtype="object")}))
    assert book.names() == ("one column",)
    assert Codebook.from_dict(yaml.safe_load(book.to_yaml())) == book


@pytest.mark.parametrize("role", ["arm", "covariate"])
def test_hidden_characters_of_labels_are_refused_and_noted_in_a_draft(role):
    name = "arm" if role == "arm" else "ethnicity"
    frame = pd.DataFrame({name: ["cbt", "c\u200bbt"] * 5, "age": range(20, 30)})
    field = Codebook.infer(frame)[name]
    assert field.enum is None
    assert field.role == ("arm" if role == "arm" else "undecided")
    assert "U+200B" in field.note
    assert "cbt" not in field.note
    for entry in ({"constraints": {"enum": ["cbt", "c\u200bbt"]}}, {"name": "ar\u202em"}):
        with pytest.raises(CodebookError, match=r"characters that are not seen.*U\+20[02][BE].*Rename"):
            Codebook.from_dict({"fields": [{"name": name, "role": role, **entry}]})


def test_input_errors_do_not_leak_out_of_the_codebook():
    with pytest.raises(CodebookError) as error:
        Codebook.from_dict(fields({"name": "x", "rol": 1}))
    assert not isinstance(error.value, InputError)


def test_a_bound_has_room_for_rounding_only():
    field = Field(name="x", type="number", role="covariate", minimum=0.0, maximum=0.3)
    read = field.reader()
    assert read(0.1 + 0.2)[1] == ()
    assert read(0.3001)[1] == ("out_of_range",)
    _, violations = field.parse(pd.Series([0.1 + 0.2, 0.3001]))
    assert [(violation.code, violation.count) for violation in violations] == [("out_of_range", 1)]


def test_listed_numbers_are_codes_of_categories_in_tables_and_records():
    field = Field(name="group", type="integer", role="covariate", enum=(1, 2, 3))
    clean, violations = field.parse(pd.Series(["1", 2.0, None, 3], dtype="object"))
    assert not violations
    assert clean.tolist()[:2] == ["1", "2"]
    read = field.reader()
    assert (read(2.0), read("3"), read(4)) == (("2", ()), ("3", ()), ("4", ("unseen_category",)))
