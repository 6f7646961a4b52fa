"""`treatsel predict` on files that are read, predicted and written in chunks."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel.cli.main import main
from treatsel.errors import CohortError, InputError
from treatsel.models import PooledClassifier
from treatsel.scale import _files, predict_file
from treatsel.table import TableWriter, packed, read_chunks, read_table

N, CHUNK = 1400, 512  # three chunks, the last one incomplete


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and patients in files of both formats."""
    folder = tmp_path_factory.mktemp("stream")
    simulate = ["simulate", str(folder / "few.csv"), "--n", "600", "--missing", "0.05", "--seed", "3"]
    assert main([*simulate, "--codebook", str(folder / "codebook.yaml")]) == 0
    cohort = ts.Cohort.read_csv(folder / "few.csv", folder / "codebook.yaml")
    book = cohort.codebook.subset(["patient_id", "age", "phq9_start", "employment", "arm", "dropout"])
    ridge = PooledClassifier(LogisticRegression(C=1.0))
    selector = ts.TreatmentSelector(estimator=ridge, codebook=book, random_state=0)
    selector.fit(cohort.frame[[*book.covariates, "arm"]], cohort.frame["dropout"])
    ts.save_model(selector, folder / "m.treatsel", intended_use="Tests.")
    many = ["simulate", str(folder / "many.csv"), "--n", str(N), "--missing", "0.05", "--seed", "4"]
    assert main(many) == 0
    cohort = ts.Cohort.read_csv(folder / "many.csv", folder / "codebook.yaml")
    cohort.frame.reset_index().to_parquet(folder / "many.parquet", row_group_size=300)
    return folder


@pytest.fixture(scope="module")
def selector(folder):
    return ts.load_model(folder / "m.treatsel")


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(_files, "CHUNK", CHUNK)
    monkeypatch.setattr(_files, "IDS_CHUNK", 600)


@pytest.fixture
def broken(folder, tmp_path):
    """Return a function that writes the many patients with one cell changed, by row (from 1)."""

    def write(row, column, value):
        table = pd.read_csv(folder / "many.csv", dtype=str, keep_default_na=False)
        table.loc[row - 1, column] = value
        table.to_csv(tmp_path / "broken.csv", index=False)
        return tmp_path / "broken.csv"

    return write


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_same_bytes_as_in_one_piece(folder, selector, tmp_path, small_chunks, kind, n_jobs):
    source = folder / f"many.{kind}"
    whole = selector.predict(read_table(source, selector.codebook_)).to_frame()
    whole.to_csv(tmp_path / "whole.csv", index=False)
    predict_file(selector, source, tmp_path / "out.csv", n_jobs=n_jobs)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    predict_file(selector, source, tmp_path / "out.parquet", n_jobs=n_jobs)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), whole, check_exact=True)
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 3


def test_a_small_parquet_file_is_the_same_byte_for_byte(folder, selector, tmp_path):
    whole = selector.predict(read_table(folder / "few.csv", selector.codebook_)).to_frame()
    whole.to_parquet(tmp_path / "whole.parquet", index=False)
    predict_file(selector, folder / "few.csv", tmp_path / "out.parquet")
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_chunks_joined_are_the_table(folder, selector, tmp_path):
    frame = pd.read_parquet(folder / "many.parquet")
    frame["visits"] = np.arange(N, dtype=float)
    frame.loc[3, "visits"] = None
    kinds = {
        "ids": frame.set_index("patient_id"),
        "counted": frame.set_axis(pd.RangeIndex(10, 10 + 2 * N, 2)),
        "plain": frame,
    }
    for name, table in kinds.items():
        table.to_parquet(tmp_path / f"{name}.parquet", row_group_size=450)
        chunks = list(read_chunks(tmp_path / f"{name}.parquet", rows=CHUNK))
        assert [len(chunk) for chunk in chunks] == [512, 512, 376]
        whole = read_table(tmp_path / f"{name}.parquet")
        pd.testing.assert_frame_equal(pd.concat(chunks), whole, check_exact=True)
    frame.iloc[:700].to_parquet(tmp_path / "part-0.parquet")
    texts = pd.concat(read_chunks(folder / "many.csv", selector.codebook_, rows=CHUNK))
    pd.testing.assert_frame_equal(texts, read_table(folder / "many.csv", selector.codebook_))
    some = next(iter(read_chunks(folder / "many.csv", rows=5, columns=["age", "arm", "absent"])))
    assert list(some) == ["age", "arm"]
    assert some.shape == (5, 2)


def test_a_folder_of_parquet_files_is_one_table(folder, selector, tmp_path):
    frame = pd.read_parquet(folder / "many.parquet")
    (tmp_path / "parts.parquet").mkdir()
    for number, start in enumerate(range(0, N, 500)):
        path = tmp_path / "parts.parquet" / f"part-{number}.parquet"
        frame.iloc[start : start + 500].to_parquet(path, index=False)
    predict_file(selector, tmp_path / "parts.parquet", tmp_path / "out.csv", level=None)
    predict_file(selector, folder / "many.parquet", tmp_path / "one.csv", level=None)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_without_intervals(folder, selector, tmp_path, capsys, small_chunks):
    out = tmp_path / "out.csv"
    command = ["predict", str(folder / "m.treatsel"), str(folder / "many.csv"), "--out", str(out)]
    assert main(command) == 0
    warned, with_intervals = capsys.readouterr().err, pd.read_csv(out)
    assert main([*command, "--no-intervals", "--n-jobs", "2"]) == 0
    assert capsys.readouterr().err == warned
    expected = with_intervals.drop(columns=["lower", "upper"])
    pd.testing.assert_frame_equal(pd.read_csv(out), expected, check_exact=True)
    assert selector.has_posterior_draws()


def test_warnings_are_counted_over_all_chunks(folder, selector, broken, tmp_path, small_chunks):
    source = broken(1300, "age", "900")
    counts = predict_file(selector, source, tmp_path / "out.csv", level=None, on_invalid="flag")
    found = selector.predict(read_table(source), on_invalid="flag").warnings
    # a warning that concerns no column has none, which is not equal to itself in a key
    expected = found.fillna({"column": ""}).groupby(["code", "column"]).size()
    counted = counts.fillna({"column": ""}).set_index(["code", "column"])["n_patients"]
    assert counted.to_dict() == expected.to_dict()
    assert expected["out_of_range", "age"] == 1
    assert expected["missing_covariate"].max() > 3  # in every chunk


def test_a_fault_in_a_late_chunk_names_its_row_and_leaves_nothing(
    folder, selector, broken, tmp_path, small_chunks
):
    source = broken(1300, "age", "917")
    for kind in ("csv", "parquet"):
        out = tmp_path / f"out.{kind}"
        out.write_text("old")
        before = sorted(tmp_path.iterdir())
        with pytest.raises(CohortError, match=r"first in row 1,300") as caught:
            predict_file(selector, source, out, level=None)
        assert "Rows 1,025 to 1,400 cannot be predicted" in str(caught.value)
        assert "917" not in str(caught.value)
        assert out.read_text() == "old"
        assert sorted(tmp_path.iterdir()) == before


def test_a_line_that_cannot_be_read_leaves_nothing(folder, selector, tmp_path, small_chunks):
    lines = (folder / "many.csv").read_text().splitlines()
    lines[1200] += ",1,2,3"
    (tmp_path / "long.csv").write_text("\n".join(lines))
    with pytest.raises(CohortError, match=r"fields in line 1201"):
        predict_file(selector, tmp_path / "long.csv", tmp_path / "out.csv", level=None)
    assert [path.name for path in tmp_path.iterdir()] == ["long.csv"]


def test_duplicate_ids_across_chunks_are_found_before_any_work(
    folder, selector, broken, tmp_path, small_chunks, monkeypatch
):
    first = pd.read_csv(folder / "many.csv", dtype=str)["patient_id"][0]
    source = broken(1399, "patient_id", first)
    monkeypatch.setattr(selector, "predict", None)
    with pytest.raises(InputError, match=r"ids of .* include 1 duplicate") as caught:
        predict_file(selector, source, tmp_path / "out.csv")
    assert first not in str(caught.value)
    indexed = pd.read_csv(source, dtype={"patient_id": str}).set_index("patient_id")
    indexed.to_parquet(tmp_path / "indexed.parquet")
    with pytest.raises(InputError, match="include 1 duplicate"):
        predict_file(selector, tmp_path / "indexed.parquet", tmp_path / "out.csv")
    missing = pd.read_parquet(folder / "many.parquet")
    missing.loc[5, "patient_id"] = None
    missing.to_parquet(tmp_path / "missing.parquet")
    with pytest.raises(InputError, match="1 patient without an id"):
        predict_file(selector, tmp_path / "missing.parquet", tmp_path / "out.csv")


def test_ids_that_share_a_hash_are_not_duplicates(folder, selector, tmp_path, monkeypatch):
    monkeypatch.setattr(pd.util, "hash_array", lambda values: np.zeros(len(values), dtype=np.uint64))
    predict_file(selector, folder / "few.csv", tmp_path / "out.csv", level=None)
    assert pd.read_csv(tmp_path / "out.csv")["patient"].nunique() == 600


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_without_rows_or_covariates_is_refused(folder, selector, tmp_path, kind):
    table = read_table(folder / "many.csv")
    write = (lambda t, p: t.to_csv(p, index=False)) if kind == "csv" else (lambda t, p: t.to_parquet(p))
    write(table.head(0), tmp_path / f"empty.{kind}")
    with pytest.raises(InputError, match="no rows"):
        predict_file(selector, tmp_path / f"empty.{kind}", tmp_path / "out.csv")
    write(table[["patient_id", "arm"]], tmp_path / f"bare.{kind}")
    with pytest.raises(CohortError, match="Column 'age' is missing"):
        predict_file(selector, tmp_path / f"bare.{kind}", tmp_path / "out.csv")


def test_progress_counts_to_the_end(folder, selector, tmp_path, small_chunks):
    seen = []
    record = lambda done, total: seen.append((done, total))  # noqa: E731
    predict_file(selector, folder / "many.parquet", tmp_path / "out.csv", level=None, progress=record)
    assert seen == [(512, N), (1024, N), (N, N)]


def test_a_progress_bar_is_shown_in_a_terminal_only(folder, tmp_path, capsys, monkeypatch):
    command = ["predict", str(folder / "m.treatsel"), str(folder / "few.csv"), "--no-intervals"]
    assert main([*command, "--out", str(tmp_path / "out.csv")]) == 0
    assert "#" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main([*command, "--out", str(tmp_path / "out.csv")]) == 0
    assert f"[{'#' * 30}] 600 of 600 patients" in capsys.readouterr().err


def test_a_writer_keeps_permissions_and_writes_through_devices(tmp_path):
    out, piece = tmp_path / "out.csv", packed(pd.DataFrame({"a": [1]}), parquet=False)
    out.write_text("old")
    out.chmod(0o600)
    with TableWriter(out) as writer:
        writer.write(piece)
        writer.write(piece)
        assert out.read_text() == "old"
    assert out.read_text() == "a\n1\n1\n"
    assert out.stat().st_mode & 0o777 == 0o600
    with TableWriter(os.devnull) as writer:
        writer.write(piece)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_an_interrupted_run_leaves_the_old_file(folder, tmp_path, kill):
    out = tmp_path / "out.csv"
    out.write_text("old")
    out.chmod(0o600)
    code = (
        "import signal, sys, time; from treatsel.scale import _files; from treatsel.cli.main import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup\n"
        "_files.CHUNK = 512; real = _files._predict\n"
        "def slow(selector, chunk, start, *rest):\n"
        "    time.sleep(60 if start else 0)  # the first chunk is written, then nothing moves\n"
        "    return real(selector, chunk, start, *rest)\n"
        "_files._predict = slow; raise SystemExit(main(sys.argv[1:]))"
    )
    files = [str(folder / "m.treatsel"), str(folder / "many.csv"), "--out", str(out)]
    run = subprocess.Popen([sys.executable, "-c", code, "predict", *files], stderr=subprocess.PIPE)
    while run.poll() is None and not any(part.stat().st_size for part in tmp_path.glob(".out.csv.*.part")):
        time.sleep(0.02)
    run.send_signal(kill)
    said = run.communicate()[1].decode()
    assert run.returncode == (-kill if kill == signal.SIGKILL else 128 + kill)
    assert "Traceback" not in said
    assert out.read_text() == "old"
    assert out.stat().st_mode & 0o777 == 0o600
    parts = list(tmp_path.glob(".*"))
    assert len(parts) == (kill == signal.SIGKILL)  # nothing can be done about it
    assert all(part.stat().st_mode & 0o777 == 0o600 for part in parts)
