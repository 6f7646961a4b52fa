"""`treatsel allocate`: the plan of `treatsel.allocate` from files."""

import json

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel.cli.main import main


@pytest.fixture
def utility():
    rng = np.random.default_rng(1)
    ids = pd.Index([f"p{k}" for k in range(12)], name="patient")
    return pd.DataFrame(rng.random((12, 3)), columns=["CBT", "IPT", "SSRI"], index=ids)


@pytest.fixture
def run(tmp_path, capsys):
    """Run the command on a table; return exit status, standard output and standard error."""

    def command(table, *options, name="u.csv"):
        path = tmp_path / name
        path.write_text(table if isinstance(table, str) else table.to_csv(), encoding="utf-8")
        status = main(["allocate", str(path), *map(str, options)])
        return status, *capsys.readouterr()

    return command


PLACES = {"CBT": 3, "IPT": 4}
CAPACITY = ("--capacity", "CBT=3", "--capacity", "IPT=4")


def test_the_plan_is_that_of_the_library(run, utility, tmp_path, capsys):
    status, out, _ = run(utility, *CAPACITY)
    assert status == 0
    (tmp_path / "out.csv").write_text(out, encoding="utf-8")
    written = pd.read_csv(tmp_path / "out.csv", index_col="patient")
    expected = ts.allocate(utility, PLACES).to_frame()
    pd.testing.assert_frame_equal(written, expected, check_dtype=False)
    assert written["arm"].value_counts()["CBT"] == 3


def test_json_and_summary(run, utility, tmp_path):
    status, out, _ = run(utility, *CAPACITY, "--out", tmp_path / "plan.csv", "--json", tmp_path / "plan.json")
    assert status == 0
    plan = ts.allocate(utility, PLACES)
    content = json.loads((tmp_path / "plan.json").read_text())
    assert content["kind"] == "treatsel allocation"
    assert content["value"] == pytest.approx(plan.value)
    assert content["limits"] == plan.to_dict()["limits"]
    assert f"12 patients, 12 with an arm; total {plan.value:.3f}." in out
    assert "  CBT: 3 places, 3 patients; best arm of " in out
    assert "  SSRI: no limit, " in out
    assert "not a recommendation for any patient" in out


def test_recommendations_bring_their_exclusions(run, utility, tmp_path):
    allowed = utility > -1
    allowed.iloc[0, 0] = False
    found = ts.recommend(utility, allowed=allowed, excluded={"IPT": "No place"})
    status, out, _ = run(found.to_json(), "--capacity", "CBT=3", name="r.json")
    assert status == 0
    expected = ts.allocate(found, {"CBT": 3}).to_frame()
    (tmp_path / "o.csv").write_text(out, encoding="utf-8")
    written = pd.read_csv(tmp_path / "o.csv", index_col="patient")
    pd.testing.assert_frame_equal(written, expected, check_dtype=False)
    assert written["arm"].tolist()[0] == "SSRI"
    assert "IPT" not in set(written["arm"])


def test_patients_out_of_scope_are_refused(run, utility):
    scope = pd.Series(True, index=utility.index)
    scope.iloc[2] = False
    text = ts.recommend(utility, in_scope=scope).to_json()
    status, _, err = run(text, *CAPACITY, name="r.json")
    assert status == 2
    assert "The model may not be used for 1 patient (status out_of_scope)" in err


def test_minimums_groups_and_a_budget(run, utility, tmp_path):
    sex = pd.Series(["women", "men"] * 6, index=utility.index, name="sex")
    table = utility.join(sex)
    given = {("women", "CBT"): 2, ("men", None): 4, "SSRI": 3}
    minimums = [f"--minimum={key}" for key in ("women/CBT=2", "men/any=4", "SSRI=3")]
    status, _, _ = run(table, *CAPACITY, "--group", "sex", *minimums, "--json", tmp_path / "p.json")
    assert status == 0
    plan = ts.allocate(utility, PLACES, minimum=given, groups=sex)
    assert json.loads((tmp_path / "p.json").read_text())["minimums"] == plan.to_dict()["minimums"]
    costs = ["--cost=CBT=3", "--cost=IPT=2", "--cost=SSRI=1"]
    status, _, _ = run(utility, *CAPACITY, "--budget", "14", *costs, "--json", tmp_path / "b.json")
    assert status == 0
    plan = ts.allocate(utility, PLACES, budget=(14, {"CBT": 3, "IPT": 2, "SSRI": 1}))
    content = json.loads((tmp_path / "b.json").read_text())
    assert content["value"] == pytest.approx(plan.value)
    assert content["budget"] == plan.to_dict()["budget"]


def test_nobody_is_deferred_if_there_are_places_and_otherwise_it_is_refused(run, utility):
    both = utility[["CBT", "IPT"]]
    status, _, err = run(both, *CAPACITY, "--no-defer")
    assert status == 2
    assert "5" in err  # places missing
    status, out, _ = run(both, *CAPACITY)
    assert status == 0
    assert sum(",,0.0," in line for line in out.splitlines()) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--capacity", "DBT=3"), "DBT"),
        ((*CAPACITY, "--capacity", "CBT=4"), "--capacity names an arm twice"),
        ((*CAPACITY, "--budget", "3"), "--budget and --cost need each other"),
        ((*CAPACITY, "--group", "sex"), "The table has no column 'sex'"),
        ((*CAPACITY, "--id", "nr"), "The table has no column 'nr'"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, utility, options, message):
    status, out, err = run(utility, *options)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_cells_that_are_no_utilities_are_counted_and_not_shown(run, utility):
    table = utility.astype("object")
    table.iloc[0, 1], table.iloc[1, 1] = "SECRET", None
    status, _, err = run(table, *CAPACITY)
    assert status == 2
    assert "'IPT' (2 cells)" in err
    assert "SECRET" not in err


def test_other_files_are_named(run, utility):
    found = ts.recommend(utility)
    table = found.to_frame().rename_axis("patient")[["arm", "status"]]
    status, _, err = run(table, *CAPACITY)
    assert status == 2
    assert "Use the file of `treatsel recommend --json`" in err
    for text in ('{"kind": "treatsel predictions"}', "[]", '{"kind": "treatsel recommendations"}'):
        status, _, err = run(text, *CAPACITY, name="x.json")
        assert status == 2
        assert "does not hold recommendations" in err


def test_a_table_without_a_header_shows_no_patient(run, utility):
    text = utility.to_csv().split("\n", 1)[1]
    status, _, err = run(text, *CAPACITY, "--group", "sex")
    assert status == 2
    assert "p0" not in err


@pytest.mark.parametrize("text", ["CBT=1.5", "CBT=-1", "CBT", "CBT=x", "CBT=9999999999"])
def test_places_are_whole_numbers(run, utility, text, capsys):
    with pytest.raises(SystemExit):
        run(utility, "--capacity", text)
    assert "--capacity" in capsys.readouterr().err
