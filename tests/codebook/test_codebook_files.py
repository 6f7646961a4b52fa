"""Codebook files from elsewhere: bounded in size, depth, values and fields, with an error that says so."""

import json
import os
import threading
import time

import numpy as np
import pandas as pd
import pytest

import treatsel as ts
from treatsel.codebook import MOST_FIELDS
from treatsel.errors import CodebookError, CohortError


def fields(n):
    return "".join(f"- {{name: x{i}, type: number, role: covariate}}\n" for i in range(n))


def laughs(depth):
    """Return a list of nine lists of nine lists ...: a few lines that unfold to 9 ** depth values."""
    lists = [f"&a0 [{', '.join('x' * 9)}]"]
    lists += [f"&a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, depth)]
    return "missingValues: [" + ", ".join(lists) + "]\nfields:\n- {name: arm, role: arm}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("\n".join(" " * i + "- " for i in range(1000)), "nested too deeply"),
        ("{a: " * 50 + "1" + "}" * 50, "nested too deeply"),
        (laughs(12), "counting what aliases repeat"),
        ("fields: &a [*a]\n", "an alias inside of what it stands for"),
        ("fields: [" + "1," * 500_001 + "]", "500,000 values"),
        ("fields:\n" + fields(MOST_FIELDS + 1), "at most 20,000 fields; this one would have 20,001"),
        ("#" * (8 * 2**20 + 1), "more than 8,388,608 bytes"),
        ("fields: [\udcff]", "UTF-8"),
    ],
    ids=["flow", "block", "mappings", "aliases", "itself", "values", "fields", "bytes", "encoding"],
)
@pytest.mark.filterwarnings("error")
def test_a_codebook_file_is_bounded(tmp_path, text, message):
    path = tmp_path / "codebook.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(CodebookError, match=message):
        ts.Codebook.read(path)
    draft = ts.Codebook.from_dict({"fields": [{"name": "arm", "role": "arm"}]})
    with pytest.raises(CodebookError):
        draft.merge(path)


def test_deep_json_is_refused(tmp_path):
    (tmp_path / "codebook.json").write_text("[" * 100_000)
    with pytest.raises(CodebookError, match="not valid YAML or JSON"):
        ts.Codebook.read(tmp_path / "codebook.json")


def test_what_never_ends_is_refused_and_a_pipe_is_read_once(tmp_path):
    with pytest.raises(CodebookError, match="it is a device"):
        ts.Codebook.read("/dev/zero")
    pipe = tmp_path / "codebook.yaml"
    os.mkfifo(pipe)
    text = "fields:\n# Its name says so.\n- name: arm\n  role: arm\n"
    writer = threading.Thread(target=pipe.write_text, args=(text,))
    writer.start()
    book = ts.Codebook.read(pipe)
    writer.join()
    assert book["arm"].note == "Its name says so."


def test_aliases_of_ordinary_size_are_read(tmp_path):
    text = (
        "fields:\n- name: arm\n  role: arm\n"
        "- name: a\n  role: covariate\n  constraints: &levels {enum: [low, high]}\n"
        "- name: b\n  role: covariate\n  constraints: *levels\n"
    )
    (tmp_path / "codebook.yaml").write_text(text)
    assert ts.Codebook.read(tmp_path / "codebook.yaml")["b"].enum == ("low", "high")


def test_a_comment_inside_a_text_is_no_note(tmp_path):
    text = 'fields:\n- name: arm\n  role: arm\n  description: "\n# Not a note.\n- name: [[[[\n"\n'
    (tmp_path / "codebook.yaml").write_text(text)
    assert ts.Codebook.read(tmp_path / "codebook.yaml")["arm"].note == ""


def test_thousands_of_fields_are_read(tmp_path):
    path = tmp_path / "codebook.yaml"
    path.write_text("fields:\n- {name: arm, role: arm}\n" + fields(5000))
    book = ts.Codebook.read(path)
    assert len(book.covariates) == 5000
    path = tmp_path / "codebook.json"
    path.write_text(json.dumps(book.to_dict()))
    assert ts.Codebook.read(path) == book


def seconds(function):
    before = time.process_time()
    function()
    return time.process_time() - before


def test_reading_takes_time_in_proportion_to_the_fields():
    """Four times as many fields may take at most ten times as long; quadratic time would take sixteen."""

    def of(n):
        entries = [{"name": f"x{i}", "type": "number"} for i in range(n)]
        return min(seconds(lambda: ts.Codebook.from_dict({"fields": entries})) for _ in range(3))

    of(100)
    assert of(16_000) < 10 * of(4000)


def test_a_table_with_too_many_columns_has_no_codebook():
    frame = pd.DataFrame(np.zeros((1, MOST_FIELDS + 1)))
    with pytest.raises(CodebookError, match=r"at most 20,000 fields.*Drop columns"):
        ts.Codebook.infer(frame)


def test_a_message_about_many_faults_is_bounded_but_its_faults_are_complete():
    book = ts.Codebook.from_dict({"fields": [{"name": f"x{i}", "type": "number"} for i in range(3000)]})
    names = ["x0", *(f"y{i}" for i in range(3000))]
    frame = pd.DataFrame(np.zeros((1, 3001)), columns=names)
    with pytest.raises(CohortError, match="and 2,950 more") as caught:
        book.check(frame)
    assert len(caught.value.faults) == 3000
    assert len(str(caught.value)) < 50_000
