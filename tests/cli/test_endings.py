"""A command ends with one line on stderr and a status, never with a traceback; pipes are read once."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import treatsel as ts
from treatsel.cli import _ending, _predict, _recommend, _show
from treatsel.cli.main import main
from treatsel.errors import CohortError
from treatsel.models import PooledClassifier
from treatsel.table import read_chunks, read_table

pytestmark = pytest.mark.one_version

SECRET = "7431"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A quick model, its cohort and its codebook."""
    folder = tmp_path_factory.mktemp("endings")
    simulate = ["simulate", str(folder / "cohort.csv"), "--n", "300", "--seed", "3"]
    assert main([*simulate, "--codebook", str(folder / "codebook.yaml")]) == 0
    cohort = ts.Cohort.read_csv(folder / "cohort.csv", folder / "codebook.yaml")
    book = cohort.codebook.subset(["patient_id", "age", "phq9_start", "arm", "dropout"])
    selector = ts.TreatmentSelector(
        estimator=PooledClassifier(LogisticRegression(C=1.0)), codebook=book, random_state=0
    )
    selector.fit(cohort.frame[[*book.covariates, "arm"]], cohort.frame["dropout"])
    ts.save_model(selector, folder / "m.treatsel", intended_use="Tests.")
    cohort.frame.head(20).reset_index().to_csv(folder / "few.csv", index=False)
    return folder


def ended(capsys, *arguments):
    """Run a command; return its status and its only line on stderr, apart from warnings."""
    capsys.readouterr()
    status = main([str(argument) for argument in arguments])
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("treatsel: error: ")
    return status, lines[0]


def shell(command, **options):
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False, **options
    )


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (MemoryError(), 2, "more memory"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (BrokenPipeError(), 141, "reader of the output"),
        (OSError(errno.EIO, "Input/output error", "p.csv"), 2, "p.csv: Input/output error"),
        (PermissionError(errno.EACCES, "Permission denied", "p.csv"), 2, "p.csv: Permission denied"),
        (ValueError(f"could not convert {SECRET}"), 70, "Unexpected ValueError"),
        (RecursionError(SECRET), 70, "Unexpected RecursionError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_exception_is_one_line_and_a_status(folder, capsys, monkeypatch, error, status, words):
    def fail(*_, **__):
        raise error

    for module in (_predict, _recommend):
        monkeypatch.setattr(module, "load_model", fail)
    monkeypatch.setattr(_show, "read_manifest", fail)
    for command in (["predict", "m", "p.csv"], ["recommend", "m", "p.csv"], ["show", "m"]):
        found, line = ended(capsys, *command)
        assert (found, words in line, SECRET in line) == (status, True, False)


def test_details_of_an_unexpected_error_on_request(folder, monkeypatch):
    monkeypatch.setenv(_ending.DETAILS, "1")
    monkeypatch.setattr(_show, "read_manifest", lambda *_, **__: [][0])
    with pytest.raises(IndexError):
        main(["show", "m"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_one_line_and_handlers_are_restored(folder, capsys, monkeypatch, number):
    before = signal.signal(number, signal.SIG_DFL)
    try:
        monkeypatch.setattr(_show, "read_manifest", lambda *_, **__: signal.raise_signal(number))
        status, line = ended(capsys, "show", "m")
        assert (status, number.name in line) == (128 + number, True)
        assert signal.getsignal(number) is signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN)  # as nohup does
        monkeypatch.setattr(_show, "read_manifest", lambda *_, **__: (signal.raise_signal(number), [][0]))
        assert ended(capsys, "show", "m")[0] == 70
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_arrives_where_exceptions_are_dropped_still_ends_the_command(
    folder, capsys, monkeypatch, number
):
    class Dropping:
        def __del__(self):
            signal.raise_signal(number)

    def read(*_, **__):
        Dropping()  # deleted at once: the exception of the handler is dropped by Python
        time.sleep(20)

    handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before, hook = signal.signal(number, handler), sys.unraisablehook
    try:
        monkeypatch.setattr(_show, "read_manifest", read)
        assert ended(capsys, "show", "m")[0] == 128 + number
        assert sys.unraisablehook is hook
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_imports_is_one_line(number):
    code = (
        "import signal, sys; from treatsel.cli import entry\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background\n"
        "class Slow:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == 'pandas': signal.raise_signal({int(number)})\n"
        "sys.meta_path.insert(0, Slow()); sys.argv = ['treatsel', 'show', 'm']; sys.exit(entry.main())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + number
    assert done.stderr.count("\n") == 1


def test_a_protected_folder_is_refused_before_any_work(folder, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("treatsel.cli._io.os.access", lambda *_: False)  # root may write everywhere
    status, line = ended(capsys, "recommend", "absent", folder / "few.csv", "--out", tmp_path / "out.csv")
    assert (status, "protected or absent" in line) == (2, True)
    assert main(["codebook", str(folder / "few.csv"), "--out", os.devnull]) == 0


def test_circular_links_and_folders_in_every_place(folder, capsys, tmp_path):
    loop = tmp_path / "loop.csv"
    loop.symlink_to(loop)
    model, few, book = folder / "m.treatsel", folder / "few.csv", folder / "codebook.yaml"
    for bad in (loop, tmp_path):
        for command in (
            ["predict", bad, few],
            ["predict", model, bad],
            ["predict", model, few, "--out", bad],
            ["recommend", model, bad],
            ["recommend", model, few, "--out", bad],
            ["explain", model, bad, "--arm", "cbt"],
            ["codebook", bad],
            ["codebook", few, "--overrides", bad],
            ["codebook", few, "--out", bad],
            ["outcome", bad, "--name", "remission"],
            ["train", bad, "--codebook", book, "--out", tmp_path / "m", "--intended-use", "x"],
            ["train", few, "--codebook", bad, "--out", tmp_path / "m", "--intended-use", "x"],
            ["train", few, "--codebook", book, "--out", tmp_path / "m", "--intended-use", f"@{bad}"],
            ["validate", model, bad],
            ["validate", model, few, "--json", bad],
            ["crossvalidate", bad, "--codebook", book],
            ["compare", bad, few],
            ["monitor", model, bad],
            ["monitor", model, few, "--html", bad],
            ["show", bad],
            ["show", model, "--public-key", bad],
            ["sign", model, "--private-key", bad],
            ["simulate", bad],
        ):
            assert ended(capsys, *command)[0] == 2


def test_devices_do_not_hang_a_command(folder, capsys):
    model, few = folder / "m.treatsel", folder / "few.csv"
    for command in (
        ["predict", model, "/dev/zero"],
        ["recommend", model, "/dev/zero"],
        ["codebook", "/dev/zero"],
        ["codebook", few, "--overrides", "/dev/zero"],
        ["train", few, "--codebook", "/dev/zero", "--out", "/dev/null", "--intended-use", "x"],
        ["compare", few, "/dev/zero"],
        ["show", "/dev/zero"],
        ["show", model, "--public-key", "/dev/zero"],
    ):
        assert ended(capsys, *command)[0] == 2


def test_damaged_files_of_every_kind_are_one_line(folder, capsys, tmp_path):
    gz = tmp_path / "cut.csv.gz"
    pd.read_csv(folder / "cohort.csv").to_csv(gz, index=False)
    gz.write_bytes(gz.read_bytes()[:-200])
    for name, content in {
        "a.xlsx": b"PK",
        "a.parquet": b"PAR1",
        "a.csv.zip": b"PK",
        "a.csv.xz": b"x",
    }.items():
        (tmp_path / name).write_bytes(content)
    for path in sorted(tmp_path.iterdir()):
        for command in ("predict", "recommend"):
            assert ended(capsys, command, folder / "m.treatsel", path)[0] == 2


def test_names_that_standard_output_cannot_encode(folder, tmp_path):
    table = pd.read_csv(folder / "few.csv", dtype=str)
    table["patient_id"] = "ß" + table["patient_id"]
    table.to_csv(tmp_path / "p.csv", index=False)
    run = f"PYTHONIOENCODING=ascii {sys.executable} -m treatsel.cli.main"
    for command in ("predict", "recommend"):
        done = shell(f"{run} {command} {folder}/m.treatsel {tmp_path}/p.csv")
        assert (done.returncode, done.stdout) == (2, "")
        assert "encoding ascii" in done.stderr
        assert "Traceback" not in done.stderr
    out = f"{tmp_path}/ä.csv"  # a message may hold the name of a file in another form
    done = shell(f"{run} outcome {tmp_path}/p.csv --name dropout --column completed=x --out {out}")
    assert "Traceback" not in done.stderr
    done = shell(f"{run} sign {folder}/ä --private-key x")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("redirection", "status", "words"),
    [
        ("| (head -1; exec <&-)", 141, "reader of the output"),
        ("> /dev/full", 2, "No space left"),
        (">&-", 2, "closed"),
        ("2>&-", 0, ""),
        ("2> /dev/full", 0, ""),
    ],
)
def test_a_standard_stream_that_takes_no_output(folder, redirection, status, words):
    many = folder / "many.csv"
    if not many.exists():  # more than a pipe holds
        table = pd.read_csv(folder / "cohort.csv", dtype=str)
        copies = [table.assign(patient_id=f"{i}-" + table["patient_id"]) for i in range(60)]
        pd.concat(copies).to_csv(many, index=False)
    command = f"{sys.executable} -m treatsel.cli.main predict {folder}/m.treatsel {many} --no-intervals"
    done = shell(f"{command} {redirection}")
    assert done.returncode == status
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert done.stderr.count("\n") == bool(words)


# --- inputs that can be read only once


def piped(path, content):
    """A named pipe into which a thread writes once."""
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(content), daemon=True)
    writer.start()
    return writer


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet", "xlsx"])
def test_a_pipe_of_any_kind_is_read_whole(folder, tmp_path, kind):
    table = pd.read_csv(folder / "few.csv", dtype=str)
    usual = tmp_path / f"usual.{kind}"
    if kind == "xlsx":
        pytest.importorskip("openpyxl")
    {"parquet": table.to_parquet, "xlsx": table.to_excel}.get(kind, table.to_csv)(usual, index=False)
    writer = piped(tmp_path / f"pipe.{kind}", usual.read_bytes())
    found = read_table(tmp_path / f"pipe.{kind}")
    writer.join()
    pd.testing.assert_frame_equal(found, read_table(usual))
    assert len(found) == 20
    with pytest.raises(CohortError, match=r"read only once\. Write it to a file first"):
        next(read_chunks(tmp_path / f"pipe.{kind}", rows=5))  # refused at once, although nobody writes


@pytest.mark.parametrize("command", ["recommend", "explain", "monitor", "codebook", "outcome", "predict"])
def test_commands_read_a_pipe_whole_or_refuse_it(folder, tmp_path, command):
    options = {
        "recommend": f"{folder}/m.treatsel FILE",
        "explain": f"{folder}/m.treatsel FILE --arm cbt",
        "monitor": f"{folder}/m.treatsel FILE --json {tmp_path}/WHICH.json",
        "codebook": "FILE --arm arm --outcome dropout=bad",
        "outcome": "FILE --name remission --column last=phq9_start --option instrument=PHQ-9",
        "predict": f"{folder}/m.treatsel FILE",
    }[command]
    run = f"{sys.executable} -m treatsel.cli.main {command} {options}"
    source = folder / "few.csv"
    direct = shell(run.replace("FILE", str(source)).replace("WHICH", "file"))
    from_pipe = run.replace("FILE", "/dev/stdin")
    through = shell(f"cat {source} | {from_pipe.replace('WHICH', 'pipe')}", timeout=120)
    if command == "predict":
        assert (through.returncode, through.stdout) == (2, "")
        assert "Write it to a file first" in through.stderr
        redirected = shell(f"{from_pipe} < {source}")  # a file that can be read again
        assert (redirected.returncode, redirected.stdout) == (0, direct.stdout)
        return
    assert direct.returncode in (0, 1)
    assert direct.stdout.count("\n") > 5
    assert (through.returncode, through.stdout) == (direct.returncode, direct.stdout)


def test_a_pipe_that_is_named_twice_is_refused(folder, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe.csv")
    pipe = tmp_path / "pipe.csv"
    status, line = ended(capsys, "validate", folder / "m.treatsel", pipe, "--development", pipe)
    assert (status, "named twice" in line) == (2, True)


def test_a_pipe_that_never_ends_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("treatsel.table._read.MOST_PIPED", 1000)
    writer = piped(tmp_path / "pipe.csv", b"age\n" + b"1\n" * 2000)
    with pytest.raises(CohortError, match="more than 1,000 bytes"):
        read_table(tmp_path / "pipe.csv")
    writer.join()


def test_outputs_may_be_pipes_and_standard_output(folder, tmp_path):
    model = folder / "m.treatsel"
    run = f"{sys.executable} -m treatsel.cli.main"
    usual = shell(f"{run} predict {model} {folder}/few.csv").stdout
    assert shell(f"{run} predict {model} {folder}/few.csv --out /dev/stdout | cat").stdout == usual
    shell(f"{run} predict {model} {folder}/few.csv --out /dev/stdout > {tmp_path}/out.csv")
    assert (tmp_path / "out.csv").read_text() == usual
    os.mkfifo(tmp_path / "pipe.csv")
    done = shell(
        f"cat {tmp_path}/pipe.csv & {run} predict {model} {folder}/few.csv --out {tmp_path}/pipe.csv; wait"
    )
    assert done.stdout == usual
