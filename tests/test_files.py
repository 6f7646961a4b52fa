"""Files are whole or absent, whatever happens while they are written; reading is bounded."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

import treatsel as ts
from treatsel import _files
from treatsel._files import is_stream, read_bytes, read_text, whole_file, write_bytes, write_text
from treatsel.artifact import new_keys, save_model, sign_model
from treatsel.codebook import Codebook
from treatsel.datasets import make_cohort, write_cohort
from treatsel.errors import TreatselError
from treatsel.monitoring import monitor
from treatsel.report import write_html, write_markdown
from treatsel.scale import predict_file
from treatsel.table import write_table
from treatsel.validation import validate


@pytest.fixture
def old(tmp_path):
    """An older file that only its owner may read."""
    path = tmp_path / "out.txt"
    path.write_text("old")
    path.chmod(0o600)
    return path


def mode_of(path):
    return path.stat().st_mode & 0o777


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_existing_file_is_replaced_and_keeps_its_permissions(old, tmp_path):
    with whole_file(old) as stream:
        stream.write(b"new")
        stream.flush()
        assert old.read_text() == "old"
        (part,) = tmp_path.glob(".*")
        assert mode_of(part) == 0o600
    assert (old.read_text(), mode_of(old), names(tmp_path)) == ("new", 0o600, ["out.txt"])


def test_a_new_file_has_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "new.txt", "\u00e4")
    finally:
        os.umask(before)
    assert (tmp_path / "new.txt").read_bytes() == b"\xc3\xa4"
    assert mode_of(tmp_path / "new.txt") == 0o640


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_an_exception_leaves_the_older_file_and_nothing_else(old, tmp_path, error):
    with pytest.raises(type(error)), whole_file(old) as stream:  # noqa: PT012
        stream.write(b"half")
        raise error
    assert (old.read_text(), names(tmp_path)) == ("old", ["out.txt"])


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_full_disk_leaves_the_older_file_and_names_it(old, tmp_path, monkeypatch, fails):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((_files.os, "fsync", full) if fails == "fsync" else (Path, "replace", full)))
    with pytest.raises(OSError, match="No space left") as caught:
        write_bytes(old, b"new")
    assert caught.value.filename == str(old)
    assert (old.read_text(), names(tmp_path)) == ("old", ["out.txt"])


def test_a_file_without_a_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_bytes(tmp_path / "absent" / "out.txt", b"new")
    assert caught.value.filename == str(tmp_path / "absent" / "out.txt")


def test_a_protected_file_is_not_replaced(old, monkeypatch):
    monkeypatch.setattr(_files.os, "access", lambda *_: False)  # root may write to every file
    with pytest.raises(PermissionError):
        write_bytes(old, b"new")
    assert old.read_text() == "old"


def test_the_target_of_a_link_is_replaced(old, tmp_path):
    (tmp_path / "link").symlink_to(old)
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (old.read_text(), mode_of(old)) == ("new", 0o600)
    (tmp_path / "dangling").symlink_to(tmp_path / "made.txt")
    write_bytes(tmp_path / "dangling", b"new")
    assert (tmp_path / "made.txt").read_text() == "new"
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OSError, match=r"[Ll]evels of symbolic links"):
        write_bytes(tmp_path / "loop", b"new")


def test_a_long_name_and_one_that_is_not_utf_8_can_be_written(tmp_path):
    for name in ("\u00e4" * 127, os.fsdecode(b"m\xff.csv"), ".hidden"):
        write_bytes(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new"


def test_two_writers_each_leave_a_whole_file(tmp_path):
    out, contents = tmp_path / "out.bin", [bytes([i]) * 300_000 for i in range(4)]
    seen = set()

    def write(content):
        for _ in range(10):
            with whole_file(out) as stream:
                for start in range(0, len(content), 100_000):
                    stream.write(content[start : start + 100_000])
                    stream.flush()
            seen.add(out.read_bytes())

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen <= set(contents)
    assert names(tmp_path) == ["out.bin"]


def test_a_forked_child_does_not_remove_the_file_of_its_parent(old):
    child = None
    try:
        with whole_file(old) as stream:
            stream.write(b"new")
            stream.flush()
            if not (child := os.fork()):
                raise RuntimeError
            os.waitpid(child, 0)
    except RuntimeError:
        os._exit(0)
    assert old.read_text() == "new"


# --- pipes, devices, descriptors


def test_a_pipe_and_a_device_are_written_directly(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_bytes(tmp_path / "pipe", b"new")
    reader.join()
    assert got == [b"new"]
    write_bytes(os.devnull, b"new")
    assert names(tmp_path) == ["pipe"]
    with pytest.raises(OSError, match="No space left") as caught:
        write_bytes("/dev/full", b"new")
    assert caught.value.filename == "/dev/full"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_can_be_written_to_a_pipe(tmp_path, kind):
    table = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    pipe = tmp_path / f"pipe.{kind}"
    os.mkfifo(pipe)
    got = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_table(table, pipe)
    reader.join()
    write_table(table, tmp_path / f"file.{kind}")
    assert got == [(tmp_path / f"file.{kind}").read_bytes()]


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "link"])
@pytest.mark.parametrize("redirected", [False, True])
def test_standard_output_gets_the_content_in_order(tmp_path, name, redirected):
    if name == "link":
        name = str(tmp_path / "link")
        Path(name).symlink_to("/dev/stdout")
    code = f"from treatsel._files import write_text; print(1); write_text({name!r}, '2\\n'); print(3)"
    if redirected:  # opening the name would truncate the file, replacing it would lose the rest
        with (tmp_path / "out.txt").open("w") as stream:
            stream.write("0\n")
            stream.flush()
            subprocess.run([sys.executable, "-c", code], stdout=stream, check=True)
        assert (tmp_path / "out.txt").read_text() == "0\n1\n2\n3\n"
    else:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "1\n2\n3\n"


def test_streams_are_known_and_reading_is_bounded(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfa\r\nb")
    kinds = {"pipe": True, "file": False, "absent": False, ".": False}
    assert {name: is_stream(tmp_path / name) for name in kinds} == kinds
    assert read_text(tmp_path / "file") == "a\nb"
    with pytest.raises(OSError, match="more than 6 bytes"):
        read_bytes(tmp_path / "file", most=6)
    with pytest.raises(OSError, match="device"):
        read_bytes("/dev/zero", most=6)


# --- every writer of the library


@pytest.fixture(scope="module")
def made(trained):
    """What the writers write: a selector, reports and a simulated cohort."""
    selector = ts.load_model(trained / "m.treatsel")
    cohort = ts.Cohort.read(trained / "cohort.csv", selector.codebook_)
    recent = cohort.frame.reset_index()
    return {
        "folder": trained,
        "selector": selector,
        "report": validate(selector.predict(cohort.X).by_arm(), cohort, outcome="dropout", sections=()),
        "monitoring": monitor(selector, recent, None),
        "simulated": make_cohort(50, random_state=0),
        "manifest": ts.artifact.read_manifest(trained / "m.treatsel"),
    }


def sign(made, path):
    private = path.parent / "private.pem"
    if not private.exists():
        new_keys(private, path.parent / "public.pem")
    sign_model(made["folder"] / "m.treatsel", private, path)


WRITERS = {
    "report.html": lambda made, path: made["report"].to_html(path),
    "report.md": lambda made, path: made["report"].to_markdown(path),
    "report.json": lambda made, path: made["report"].to_json(path),
    "checklists.md": lambda made, path: made["report"].write_checklists(path),
    "checklists.csv": lambda made, path: made["report"].write_checklists(path),
    "monitoring.html": lambda made, path: made["monitoring"].to_html(path),
    "monitoring.md": lambda made, path: made["monitoring"].to_markdown(path),
    "monitoring.json": lambda made, path: made["monitoring"].to_json(path),
    "card.html": lambda made, path: write_html(made["manifest"], path),
    "card.md": lambda made, path: write_markdown(made["manifest"], path),
    "codebook.yaml": lambda made, path: made["selector"].codebook_.write(path),
    "codebook.json": lambda made, path: made["selector"].codebook_.write(path),
    "cohort.csv": lambda made, path: write_cohort(made["simulated"], path),
    "cohort.parquet": lambda made, path: write_cohort(made["simulated"], path),
    "table.csv": lambda made, path: write_table(made["simulated"].cohort.frame, path),
    "table.parquet": lambda made, path: write_table(made["simulated"].cohort.frame, path),
    "predictions.csv": lambda made, path: predict_file(
        made["selector"], made["folder"] / "cohort.csv", path, level=None
    ),
    "predictions.parquet": lambda made, path: predict_file(
        made["selector"], made["folder"] / "cohort.csv", path, level=None
    ),
    "m.treatsel": lambda made, path: save_model(made["selector"], path, intended_use="Tests."),
    "signed.treatsel": sign,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_keeps_the_older_file_when_the_disk_is_full(made, tmp_path, monkeypatch, name):
    if name == "signed.treatsel":
        pytest.importorskip("cryptography")
    out = tmp_path / name
    WRITERS[name](made, out)
    fresh = out.read_bytes()
    out.write_bytes(b"old")
    out.chmod(0o600)
    before = names(tmp_path)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(_files.os, "fsync", full)
        with pytest.raises((OSError, TreatselError), match="No space left"):
            WRITERS[name](made, out)
    assert (out.read_bytes(), names(tmp_path)) == (b"old", before)
    WRITERS[name](made, out)
    assert len(out.read_bytes()) == len(fresh)
    assert (mode_of(out), names(tmp_path)) == (0o600, before)


def test_no_other_module_opens_files_for_writing():
    """Files leave the library through `_files` alone."""
    source = Path(_files.__file__).parent
    forbidden = (".write_text(", ".write_bytes(", ".to_csv(path", ".to_csv(out", ".savefig(path", '.open("w')
    wrong = [
        f"{path.relative_to(source)}: {line.strip()}"
        for path in sorted(source.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if path.name != "_files.py" or path.parent != source
        if any(word in line for word in forbidden)
    ]
    assert not wrong


def test_keys_are_written_as_a_pair_or_not_at_all(tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    (tmp_path / "public.pem").write_text("other")
    with pytest.raises(TreatselError, match="already exists"):
        new_keys(tmp_path / "private.pem", tmp_path / "public.pem")
    assert names(tmp_path) == ["public.pem"]
    new_keys(tmp_path / "private.pem", tmp_path / "new.pem")
    assert mode_of(tmp_path / "private.pem") == 0o600
    assert names(tmp_path) == ["new.pem", "private.pem", "public.pem"]


@pytest.mark.parametrize("kind", ["file", "dangling link", "pipe"])
def test_a_new_file_replaces_and_follows_nothing(tmp_path, kind):
    path = tmp_path / "key"
    if kind == "file":
        path.write_text("old")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError), whole_file(path, new=True) as stream:
        stream.write(b"new")
    assert names(tmp_path) == ["key"]


def test_a_codebook_is_read_once(made, tmp_path):
    text = made["selector"].codebook_.to_yaml()
    os.mkfifo(tmp_path / "book.yaml")
    writer = threading.Thread(target=(tmp_path / "book.yaml").write_text, args=(text,))
    writer.start()
    assert Codebook.read(tmp_path / "book.yaml").to_yaml() == text
    writer.join()
