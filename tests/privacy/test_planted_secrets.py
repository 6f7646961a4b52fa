"""Secrets are planted in every kind of cell of a table, and everything that leaves is searched for them.

Only these outputs may hold what belongs to a patient, because they are about single patients by purpose:
"""

import contextlib
import io
import json
import logging
import re
import warnings
import zipfile
from dataclasses import dataclass, field
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from treatsel import Codebook, Cohort, TreatmentSelector, explain, load_model, validate
from treatsel.artifact import read_manifest
from treatsel.cli.main import main
from treatsel.codebook import Field
from treatsel.errors import TreatselError
from treatsel.models import PooledClassifier
from treatsel.monitoring import monitor
from treatsel.scale import fit_hierarchical_dask, predict_dask

pytestmark = pytest.mark.one_version

PER_PATIENT = {
    "predictions": ("id",),  # each row is a patient's prediction: the reader must know whose
    "recommendations": ("id",),  # the same
    # an attribution belongs to a value, which stands beside it
    "explanations": ("id", "covariate", "covariate, in new patients", "not whole", "unlisted category"),
    "--show-ids": ("id",),  # asked for by name, to find the rows at fault
    # `treatsel outcome` writes the table that it reads, with one more column: its file is not searched
}
N = 150
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
COMMANDS = ("codebook", "train", "crossvalidate", "validate", "predict", "recommend", "explain", "monitor")
BOOK = Codebook(
    (
        Field(name="patient_id", role="id"),
        Field(name="clinic", role="site"),
        Field(name="background", role="audit"),
        Field(name="age", type="integer", role="covariate", minimum=18, maximum=99),
        Field(name="score", type="number", role="covariate", minimum=0, maximum=100),
        Field(name="work", role="covariate"),
        Field(name="housing", role="covariate", enum=("rented", "owned")),
        Field(name="alone", type="boolean", role="covariate"),
        Field(name="started", type="date", role="date"),
        Field(name="phq_6m", type="number", role="session_score"),
        Field(name="notes"),
        Field(name="arm", role="arm", enum=("CBT", "SSRI")),
        Field(name="dropout", type="integer", role="outcome", event_is_good=False),
    ),
    ("", "NA"),
)


@dataclass
class Secrets:
    """Texts and numbers that no other cell has, each with the kind of cell that it is planted in."""

    seed: int
    texts: dict[str, str] = field(default_factory=dict)
    numbers: dict[float, str] = field(default_factory=dict)

    def text(self, kind):
        found = f"Zq{self.seed}x{len(self.texts)}kept"
        self.texts[found.lower()] = kind
        return found

    def number(self, kind, low=30.0, high=95.0):
        rng = np.random.default_rng([self.seed, len(self.numbers)])
        found = round(rng.uniform(low, high), 6) + 1e-6  # six decimals, the last not 0
        found = round(found, 6)
        self.numbers[found] = kind
        return found

    def given(self, text, kind):
        self.texts[text.lower()] = kind
        return text

    def found_in(self, content, allowed=()):
        """Return the kinds of secrets in a text; numbers also if they were rounded to four decimals.

        In pages, numbers are compared with six decimals: their pictures have many thousand coordinates.
        """
        content = content.decode("latin-1") if isinstance(content, bytes) else str(content)
        lowered = content.lower()
        kinds = [kind for text, kind in self.texts.items() if text in lowered]
        near = 6e-7 if "<svg" in lowered else 6e-5
        told = np.array([float(text) for text in re.findall(r"\d{1,15}\.\d{3,}", content)])
        kinds += [kind for n, kind in self.numbers.items() if len(told) and np.abs(told - n).min() < near]
        return [kind for kind in kinds if kind not in allowed]

    def found_among(self, array):
        """Return the kinds of secret numbers that an array holds, in double or single precision."""
        values = np.asarray(array).ravel()
        values = values[~np.isnan(values)] if values.dtype.kind == "f" else values[:0]
        if not len(values):
            return []
        near = 1e-9 if values.dtype == np.float64 else 1e-5
        return [kind for n, kind in self.numbers.items() if np.abs(values - n).min() < near]


def table_with(secrets):
    """Return a valid table with secrets in each kind of column."""
    rng = np.random.default_rng(secrets.seed)
    rows = iter(rng.permutation(N))
    table = pd.DataFrame(
        {
            "patient_id": [f"Zq{secrets.seed}Pat{i:04d}" for i in range(N)],
            "clinic": rng.choice(["North", "South", "West"], N),
            "background": rng.choice(["a", "b"], N),
            "age": rng.integers(20, 80, N).astype(str),
            "score": np.round(rng.normal(50, 10, N), 1).astype(str),
            "work": rng.choice(["employed", "student"], N),
            "housing": rng.choice(["rented", "owned"], N),
            "alone": rng.choice(["0", "1"], N),
            "started": pd.date_range("2024-01-01", periods=N).strftime("%Y-%m-%d"),
            "phq_6m": rng.integers(0, 27, N).astype(str),
            "notes": [secrets.text("free text") for _ in range(N)],
            "arm": rng.choice(["CBT", "SSRI"], N),
            "dropout": rng.choice(["0", "1"], N),
        }
    ).astype(object)
    secrets.given(f"Zq{secrets.seed}Pat0", "id")
    table.loc[next(rows), "clinic"] = secrets.text("tiny site")
    table.loc[next(rows), "background"] = secrets.text("rare level, audit")
    table.loc[next(rows), "work"] = secrets.text("covariate")
    table.loc[next(rows), "score"] = str(secrets.number("covariate"))
    table.loc[next(rows), "score"] = str(secrets.number("covariate", 99.0, 99.9))  # the largest
    table.loc[next(rows), "phq_6m"] = str(secrets.number("later score"))
    table.loc[next(rows), "started"] = secrets.given("1931-05-17", "date")
    return table


# --- what leaves: output, log and warnings of commands; files; representations of objects


def run(*arguments):
    """Run a command; return its status, its standard output, and all else that it says."""
    out, err, log = io.StringIO(), io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(log)
    logger = logging.getLogger()
    level, _ = logger.level, logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(record=True) as caught,
        ):
            warnings.simplefilter("always")
            try:
                status = main([str(argument) for argument in arguments])
            except SystemExit as error:
                status = error.code
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    said = "\n".join([err.getvalue(), log.getvalue(), *(str(w.message) for w in caught)])
    return status, out.getvalue(), said


def chain(error):
    """Return what an exception tells: itself, its faults, and the exceptions that a traceback shows."""
    parts = [repr(error), repr(error.faults), json.dumps([fault.to_dict() for fault in error.faults])]
    seen = error
    while seen is not None:
        parts += [str(seen), *getattr(seen, "__notes__", ())]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(parts)


def said_by(call):
    """Return what the exception of a call tells; empty if it raises none."""
    try:
        call()
    except TreatselError as error:
        return chain(error)
    return ""


def leaks_of_file(secrets, path, allowed=()):
    found = secrets.found_in(path.read_bytes(), allowed)
    if not zipfile.is_zipfile(path):
        return found
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            found += secrets.found_in(content if name.endswith(".json") else repr(content), allowed)
            if name.endswith(".npy"):
                found += secrets.found_among(np.load(io.BytesIO(content), allow_pickle=False))
    return found


def commands(folder, table, model, **options):
    """Return the arguments of each command on a table, and the files that it may write."""
    book, out = folder / "b.yaml", folder / "out"
    out.mkdir(exist_ok=True)
    known = ["--codebook", book, "--outcome", "dropout", "--estimator", "hierarchical"]
    report = ["--html", out / "v.html", "--markdown", out / "v.md", "--json", out / "v.json"]
    checks = ["--checklists", out / "v.csv", "--out", out / "figures.csv"]
    per_patient, validation = options.get("on_invalid", []), options.get("validation", [])
    use = ["--intended-use", "Tests.", "--out", out / "again.treatsel"]
    found = {
        "codebook": ["codebook", table],
        "train": ["train", table, *known, *use],
        "crossvalidate": ["crossvalidate", table, *known, *report],
        "validate": ["validate", model, table, "--codebook", book, *report, *checks, *validation],
        "predict": ["predict", model, table, *per_patient, "--out", out / "predictions.csv"],
        "recommend": ["recommend", model, table, *per_patient, "--out", out / "recommendations.csv"],
        "explain": ["explain", model, table, "--arm", "CBT", *per_patient, "--out", out / "explanations.csv"],
        "monitor": ["monitor", model, table, *report],
    }
    return {name: [*found[name], *options.get("reading", [])] for name in found}


def leaks_of(secrets, folder, name, arguments):
    """Run a command; return the secrets in what it said and in the files that it wrote."""
    for old in (folder / "out").iterdir():
        old.unlink()
    status, out, said = run(*arguments)
    assert "Unexpected" not in said, said
    found = [f"{name} stdout: {kind}" for kind in secrets.found_in(out)]
    found += [f"{name} stderr, log or warning: {kind}" for kind in secrets.found_in(said)]
    for path in (folder / "out").iterdir():
        kinds = leaks_of_file(secrets, path, PER_PATIENT.get(path.stem, ()))
        found += [f"{name} {path.name}: {kind}" for kind in kinds]
    return status, found


@pytest.fixture(scope="module", params=SEEDS)
def planted(request, tmp_path_factory):
    """A folder with a table full of secrets, its codebook and the model trained on it."""
    folder = tmp_path_factory.mktemp("planted")
    secrets = Secrets(request.param)
    table = table_with(secrets)
    table.to_csv(folder / "c.csv", index=False)
    BOOK.write(folder / "b.yaml")
    arguments = commands(folder, folder / "c.csv", None)["train"]
    status, found = leaks_of(secrets, folder, "train", arguments)
    assert status == 0
    (folder / "out" / "again.treatsel").rename(folder / "m.treatsel")
    return folder, secrets, table, found


def test_a_valid_table(planted):
    folder, secrets, _, found = planted
    model = folder / "m.treatsel"
    studies = ["--development", folder / "c.csv", "--internal-external-cv", "hierarchical"]
    options = {"validation": studies} if secrets.seed else {}
    for name, arguments in commands(folder, folder / "c.csv", model, **options).items():
        if name == "train" or (name == "crossvalidate" and secrets.seed == 0):
            continue  # done before; or as slow as all the others together
        status, more = leaks_of(secrets, folder, name, arguments)
        assert status in (0, 1), name
        found += more
    validated = ["validate", model, folder / "c.csv", "--store"]
    more = [["show", model], ["show", model, "--json"], ["show", model, "--html", folder / "out" / "m.html"]]
    for arguments in [validated, *more] if secrets.seed else more:
        found += leaks_of(secrets, folder, arguments[0], arguments)[1]
    found += leaks_of_file(secrets, model)
    assert not found


def test_an_outcome_from_a_column_of_the_table(planted, tmp_path):
    folder, secrets, _, _ = planted
    named = ["outcome", folder / "c.csv", "--name", "non_start", "--column"]
    for column in ("sessions=phq_6m", "sessions=notes", "sessions=nothing"):
        _, out, said = run(*named, column, "--out", tmp_path / "o.csv")
        assert not secrets.found_in(out + said), column


def test_a_drafted_codebook_and_its_model(planted):
    folder, secrets, _, _ = planted
    draft = folder / "draft.yaml"
    status, out, said = run("codebook", folder / "c.csv", "--outcome", "dropout=bad", "--out", draft)
    assert status == 0
    assert not secrets.found_in(out + said + draft.read_text())
    assert "employed" in draft.read_text()  # frequent texts are shown, in the note
    book = Codebook.read(draft)
    assert book["work"].enum is None
    assert book["housing"].enum == ("owned", "rented")
    assert not secrets.found_in(repr(book) + book._repr_html_() + repr(book.fields))
    known = ["--codebook", draft, "--accept-draft", "--estimator", "hierarchical", "--intended-use", "Tests."]
    arguments = ["train", folder / "c.csv", *known, "--out", folder / "out" / "drafted.treatsel"]
    if secrets.seed:
        status, found = leaks_of(secrets, folder, "train", arguments)
        assert (status, found) == (0, [])


def test_representations(planted):
    folder, secrets, table, _ = planted
    selector = load_model(folder / "m.treatsel")
    cohort = Cohort(table, BOOK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        objects = [
            cohort,
            BOOK,
            selector,
            selector.model_,
            selector.codebook_,
            read_manifest(folder / "m.treatsel"),
            predictions := selector.predict(table, on_invalid="flag"),
            selector.recommend(table, on_invalid="flag"),
            explain(selector, table, arm="CBT", on_invalid="flag"),
            selector.model_.predict(table.iloc[0].to_dict(), on_invalid="flag"),
            monitor(selector, table),
            TreatmentSelector(codebook=BOOK),
        ]
        if secrets.seed:
            objects.append(validate(selector, cohort, outcome="dropout"))
    for each in objects:
        shown = [repr(each), str(each)]
        shown += [each._repr_html_()] if hasattr(each, "_repr_html_") else []
        assert not secrets.found_in("\n".join(filter(None, shown))), type(each).__name__
    assert secrets.found_in(predictions.to_frame().to_csv()) == ["id"]  # the search finds what is there


def broken_cells(secrets, table):
    """Yield tables in which a cell breaks the codebook, by a secret where it can: column, table and row."""
    rng = np.random.default_rng(secrets.seed)
    values = {
        "age": [secrets.text("text in a number"), secrets.number("not whole"), "1e7"],
        "score": [secrets.text("text in a number"), -secrets.number("out of range"), "1e309", "inf"],
        "housing": [secrets.text("unlisted category"), secrets.number("number in a text")],
        "alone": [secrets.text("word in a 0/1"), secrets.number("number in a 0/1")],
        "work": [secrets.text("covariate, in new patients")],
        "started": [secrets.text("text in a date"), secrets.given("17.05.1931", "date in words")],
        "phq_6m": [secrets.text("text in a later score")],
        "arm": [secrets.text("arm of one patient"), secrets.number("number in the arm"), ""],
        "dropout": [secrets.text("odd outcome"), secrets.number("outcome that is no 0 or 1"), "-99"],
        "clinic": [""],
        "patient_id": [table["patient_id"].iloc[0], ""],
    }
    for column, cells in values.items():
        for cell in cells:
            broken, row = table.copy(), 1 + int(rng.integers(N - 1))
            broken.loc[row, column] = str(cell)
            yield column, broken, row


def test_cells_that_break_the_codebook(planted, tmp_path):
    folder, secrets, table, _ = planted
    BOOK.write(tmp_path / "b.yaml")
    selector, found = load_model(folder / "m.treatsel"), []
    for i, (column, broken, row) in enumerate(broken_cells(secrets, table)):
        path = tmp_path / f"{column}.csv"
        broken.to_csv(path, index=False)
        invalid = {"on_invalid": ["--on-invalid", "flag"]} if i % 2 else {}
        for name, arguments in commands(tmp_path, path, folder / "m.treatsel", **invalid).items():
            valid = column in ("work", "clinic") and name in ("train", "crossvalidate", "validate")
            by_default = name == ("codebook", "predict", "monitor", "train")[i % 4]
            if (secrets.seed or (by_default and i % 3 == 0)) and not valid:
                found += leaks_of(secrets, tmp_path, f"{column}: {name}", arguments)[1]
        calls = {
            "Cohort": lambda broken=broken: Cohort(broken, BOOK),
            "drafted": lambda broken=broken: Cohort(broken),
            "predict": lambda broken=broken: selector.predict(broken),
            "record": lambda broken=broken, row=row: selector.model_.predict(broken.loc[row].to_dict()),
            "fit": lambda broken=broken: TreatmentSelector(estimator="hierarchical").fit(
                broken[["age", "score", "housing", "alone", "notes", "arm"]], broken["dropout"]
            ),
        }
        if not secrets.seed and i % 3:  # drafts take most of the time
            del calls["drafted"], calls["fit"]
        for name, call in calls.items():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                told = "\n".join([said_by(call), *(str(warning.message) for warning in caught)])
            found += [f"{column}: {name}: {kind}" for kind in secrets.found_in(told)]
    assert not found


def test_parquet_files_and_dask(planted, tmp_path):
    pytest.importorskip("pyarrow")
    dask, frames = pytest.importorskip("dask"), pytest.importorskip("dask.dataframe")
    folder, secrets, table, _ = planted
    BOOK.write(tmp_path / "b.yaml")
    selector, found = load_model(folder / "m.treatsel"), []
    columns = ["age", "score", "work", "housing", "alone", "arm", "dropout"]
    tables = [("", table, 0), *broken_cells(secrets, table)]
    for i, (column, broken, _row) in enumerate(tables):
        if not secrets.seed and i % 4:
            continue
        path = tmp_path / "c.parquet"
        broken.to_parquet(path, index=False)
        for name in ("codebook", "predict", "monitor"):
            arguments = commands(tmp_path, path, folder / "m.treatsel")[name]
            found += leaks_of(secrets, tmp_path, f"{column}: Parquet: {name}", arguments)[1]
        parts = frames.from_pandas(broken, npartitions=3)
        numbers = broken[columns].assign(
            **{name: pd.to_numeric(broken[name], errors="coerce") for name in ("age", "dropout")}
        )
        numeric = frames.from_pandas(numbers, npartitions=3)
        calls = {
            "predict_dask": lambda parts=parts: predict_dask(selector, parts).compute(),
            "flagged": lambda parts=parts: predict_dask(selector, parts, on_invalid="flag").compute(),
            "as texts": lambda parts=parts: fit_hierarchical_dask(parts[columns], "dropout"),
            "fitted": lambda numeric=numeric: fit_hierarchical_dask(numeric, "dropout"),
        }
        if column not in columns:
            del calls["as texts"], calls["fitted"]
        for name, call in calls.items():
            with warnings.catch_warnings(record=True) as caught, dask.config.set(scheduler="synchronous"):
                warnings.simplefilter("always")
                told = "\n".join([said_by(call), *(str(warning.message) for warning in caught)])
            found += [f"{column}: Dask: {name}: {kind}" for kind in secrets.found_in(told)]
    assert not found


def test_an_outcome_that_is_no_number_is_not_shown_by_dask():
    frames = pytest.importorskip("dask.dataframe")
    secret = "Zq9kept"
    table = pd.DataFrame(
        {"age": np.arange(40.0), "arm": ["a", "b"] * 20, "dropout": ["0", "1", "1", "0"] * 10}
    )
    table.loc[3, "dropout"] = secret
    told = said_by(lambda: fit_hierarchical_dask(frames.from_pandas(table, npartitions=2), "dropout"))
    assert "'dropout' has 1 value other than 0 and 1" in told
    assert secret not in told


def broken_files(table, folder):
    """Yield files that are not read as they were meant, and options of reading."""
    headless = table.drop(columns=["notes"])  # with fewer columns than rows
    for ending, sep in ((".csv", ","), (".tsv", "\t"), (".txt", ";")):
        headless.to_csv(folder / f"headless{ending}", index=False, header=False, sep=sep)
        yield folder / f"headless{ending}", []
    if find_spec("openpyxl"):
        headless.to_excel(folder / "headless.xlsx", index=False, header=False)
        yield folder / "headless.xlsx", []
    yield folder / "headless.txt", ["--sep", "comma"]
    yield folder / "headless.csv", ["--sep", "tab"]
    table.to_csv(folder / "semicolon.csv", index=False, sep=";")
    yield folder / "semicolon.csv", ["--sep", "comma"]
    table.assign(work="gen\u00e4gt").to_csv(folder / "latin.csv", index=False, encoding="cp1252")
    yield folder / "latin.csv", ["--encoding", "utf-8"]
    table.to_csv(folder / "wide.csv", index=False, encoding="utf-16")
    yield folder / "wide.csv", ["--encoding", "utf-8"]
    lines = table.to_csv(index=False).splitlines()
    ragged = [*lines[:50], f"{lines[50]},{lines[51]}", *lines[52:]]
    (folder / "ragged.csv").write_text("\n".join(ragged))
    yield folder / "ragged.csv", []
    (folder / "quote.csv").write_text("\n".join([*lines[:50], f'"{lines[50]}', *lines[51:]]))
    yield folder / "quote.csv", []
    (folder / "repeated.csv").write_text("\n".join([lines[1], *lines[1:]]))
    yield folder / "repeated.csv", []
    table.rename(columns={"arm": "therapy", "score": "scores"}).to_csv(folder / "renamed.csv", index=False)
    yield folder / "renamed.csv", []


def test_files_that_are_not_read_as_they_were_meant(planted, tmp_path):
    folder, secrets, table, _ = planted
    BOOK.write(tmp_path / "b.yaml")
    table = table.sample(frac=1, random_state=secrets.seed)
    first = {"work": next(text for text in secrets.texts if secrets.texts[text] == "covariate")}
    first |= {"score": str(next(iter(secrets.numbers))), "started": "1931-05-17"}
    table = pd.concat([table.iloc[:1].assign(**first), table.iloc[1:]])
    found = []
    for path, reading in broken_files(table, tmp_path):
        for name, arguments in commands(tmp_path, path, folder / "m.treatsel", reading=reading).items():
            if secrets.seed or name in ("codebook", "train", "predict"):
                found += leaks_of(secrets, tmp_path, f"{path.name} {reading}: {name}", arguments)[1]
        column = ["outcome", path, "--name", "non_start", "--column", "sessions=visits", *reading]
        found += leaks_of(secrets, tmp_path, f"{path.name}: outcome", column)[1]
    selector = load_model(folder / "m.treatsel")
    for frame in (pd.read_csv(tmp_path / "headless.csv"), pd.read_csv(tmp_path / "headless.csv", dtype=str)):
        for call in (
            lambda frame=frame: Cohort(frame, BOOK),
            lambda frame=frame: Cohort(frame),
            lambda frame=frame: BOOK.check(frame),
            lambda frame=frame: selector.predict(frame),
            lambda frame=frame: TreatmentSelector().fit(frame, frame.iloc[:, -1]),
        ):
            told = said_by(call)
            assert told
            found += secrets.found_in(told)
    assert not found


def test_ids_are_shown_where_asked_for(planted, tmp_path):
    folder, secrets, table, _ = planted
    table = table.copy()
    table.loc[3, "age"] = "old"
    table.to_csv(tmp_path / "c.csv", index=False)
    arguments = ["predict", folder / "m.treatsel", tmp_path / "c.csv", "--out", tmp_path / "p.csv"]
    assert not secrets.found_in("".join(map(str, run(*arguments)[1:])))
    told = "".join(map(str, run(*arguments, "--show-ids")[1:]))
    assert not secrets.found_in(told, PER_PATIENT["--show-ids"])


@pytest.mark.parametrize("n", [1, 3])
def test_an_arm_of_few_patients_has_no_name_in_messages(planted, n):
    _, secrets, table, _ = planted
    rare = Secrets(secrets.seed)
    table = table.copy()
    table.loc[: n - 1, ["arm", "dropout"]] = rare.text("arm of one patient"), "1"
    free = BOOK.merge({"fields": [{"name": "arm", "constraints": None}]})
    cohort, X = Cohort(table, free), table[["arm"]].assign(score=np.arange(N, dtype=float))
    for call in (
        lambda: TreatmentSelector(estimator="hierarchical", random_state=0).fit(cohort),
        lambda: PooledClassifier(LogisticRegression()).fit(X, table["dropout"].astype(float)),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            told = said_by(call)
        assert told
        assert not rare.found_in("\n".join([told, *(str(warning.message) for warning in caught)]))
