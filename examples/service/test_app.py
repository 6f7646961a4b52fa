"""Answers of the service: records, invalid requests, counters."""

import dataclasses
import json
import logging
import socket
import threading
import time
from datetime import date
from pathlib import Path

import pytest

fastapi = pytest.importorskip("fastapi", reason="the example has its own requirements")
import app as service  # noqa: E402
import uvicorn  # noqa: E402
from app import MAX_BYTES, MAX_KEYS, make_app  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402

from treatsel import serve  # noqa: E402

TODAY = date(2030, 1, 31)
STORED = Path(__file__).parents[2] / "tests" / "artifacts" / "format_1.treatsel"


@pytest.fixture
def model():
    return serve.load_model(STORED)


@pytest.fixture
def client(model):
    return TestClient(make_app(model, today=lambda: TODAY), raise_server_exceptions=True)


@pytest.fixture
def record(model):
    return dict.fromkeys(model.codebook.covariates)


def test_a_record_gets_the_result_of_the_library(client, model, record):
    answer = client.post("/predict", json=record)
    assert answer.status_code == 200
    assert answer.json() == json.loads(model.predict(record, on_invalid="flag", date=TODAY).to_json())
    assert model.reproduce(answer.json()["audit"], record).to_dict() == answer.json()


def test_a_recommendation_follows_the_rule_that_was_validated(client, model, record):
    answer = client.post("/recommend", json=record)
    assert answer.status_code == 200
    assert answer.json() == json.loads(model.recommend(record, on_invalid="flag", date=TODAY).to_json())
    assert answer.json()["rule"] == "expected"
    assert model.reproduce(answer.json()["audit"], record).to_dict() == answer.json()


def test_an_expired_model_is_named_in_every_answer(model, record):
    use = {"purpose": "A test.", "review_date": "2030-01-30"}
    late = TestClient(make_app(dataclasses.replace(model, intended_use=use), today=lambda: TODAY))
    for path in ("/predict", "/recommend"):
        warnings = late.post(path, json=record).json()["warnings"]
        assert {"patient": 0, "code": "model_expired", "column": None} in warnings


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b'{"age": NaN}', 400),
        (b'{"age": 1, "age": 2}', 400),
        (b"[" * 30_000, 400),
        (b"\xff\xfe", 400),
        (b'"' + b"x" * MAX_BYTES + b'"', 413),
        (b"{}", 422),
        (b'{"age": {"deep": [1]}}', 422),
        (json.dumps(dict.fromkeys(map(str, range(MAX_KEYS + 1)))).encode(), 422),
    ],
)
def test_an_invalid_request_is_refused_with_a_reason(client, body, status):
    for path in ("/predict", "/recommend"):
        answer = client.post(path, content=body)
        assert answer.status_code == status
        assert answer.json()["error"]


def test_a_refusal_gives_its_faults_as_data(client, record):
    answer = client.post("/predict", json={**record, "age": "secret-7431"}, params={"on_invalid": "raise"})
    (fault,) = answer.json()["faults"]
    assert (fault["column"], fault["n_rows"]) == ("age", 1)
    assert fault["problem"] in answer.json()["error"]


def test_no_response_repeats_a_value(client, record):
    secret = dict.fromkeys(record, "secret-7431")
    for options in ({"on_invalid": "raise"}, {"on_invalid": "flag"}):
        assert "secret" not in client.post("/predict", json=secret, params=options).text


@pytest.mark.parametrize(
    ("path", "option"), [("/predict", "on_invalid"), ("/recommend", "on_invalid"), ("/recommend", "rule")]
)
def test_a_bad_option_is_refused_and_not_repeated(client, record, path, option):
    answer = client.post(path, json=record, params={option: "secret-7431"})
    assert answer.status_code == 422
    assert option in answer.json()["error"]
    assert "secret" not in answer.text + client.get("/metrics").text


def test_responses_repeat_only_names_of_keys(client, record):
    answer = client.post("/predict", json={**record, "shoe_size": "secret-7431"})
    assert ("unknown_key", "shoe_size") in [(row["code"], row["column"]) for row in answer.json()["warnings"]]
    assert "secret" not in answer.text
    assert "shoe_size" not in client.get("/metrics").text


def test_counters_are_incremented(client, record):
    client.post("/predict", json=record)
    client.post("/predict", content=b"{")
    shown = client.get("/metrics").text.splitlines()
    assert "treatsel_requests_total 2" in shown
    assert 'treatsel_refused_total{status="400"} 1' in shown
    assert any(line.startswith('treatsel_warnings_total{code="missing_covariate"}') for line in shown)


def test_the_model_is_described(client, model):
    shown = client.get("/model").json()
    assert shown["model_id"] == model.model_id
    assert set(shown["covariates"]) == set(model.codebook.covariates)


def test_a_large_request_gets_a_small_response(client, model, record):
    name = model.codebook.name("id")
    valid = {**record, "phq9_start": 12}
    usual = len(client.post("/predict", json=valid).content)
    keys = {f"{i:x}" + "k" * 50: 0 for i in range(MAX_KEYS - 100)}
    for path in ("/predict", "/recommend"):
        answer = client.post(path, json={**valid, name: "A" * 200, **keys})
        assert answer.status_code == 200
        assert len(answer.content) < usual + 20_000
        warned = [row["column"] for row in answer.json()["warnings"] if row["code"] == "unknown_key"]
        assert len(warned) == 6
        assert warned[-1] == f"... and {len(keys) - 5:,} more"
        for patient in ("A" * 300, {"a": ["A" * 300]}, 10**1000):
            answer = client.post(path, json={**valid, name: patient, **keys})
            assert answer.status_code == 422
            assert "AAA" not in answer.text
    assert len(client.post("/predict", json={}).content) < 20_000


@pytest.fixture
def port(model, monkeypatch):
    """The port of a server that waits half a second for a request."""
    monkeypatch.setattr(service, "SECONDS", 0.5)
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(model), http=service.TimedProtocol, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join()
    listening.close()


HEAD = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n{"


def answer_of(port, *parts):
    """Send parts of a request, and return all that comes until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        for part in parts:
            connection.sendall(part)
        found = b""
        while part := connection.recv(65536):
            found += part
        return found


def test_half_requests_end(port):
    assert answer_of(port) == b""
    assert answer_of(port, HEAD[:30]) == b""
    found = answer_of(port, HEAD)
    assert found.startswith(b"HTTP/1.1 408")
    assert b"did not arrive within 0.5 seconds" in found
    whole = b"GET /model HTTP/1.1\r\nHost: x\r\n\r\n"
    assert answer_of(port, whole, whole[:20]).count(b"HTTP/1.1 200") == 1
    assert answer_of(port, whole + whole + HEAD).count(b"HTTP/1.1 200") == 2


def test_too_large_a_body_ends_the_connection(port):
    head = HEAD.replace(b"5000", b"5000000")
    assert answer_of(port, head + b"x" * (MAX_BYTES + 1)).startswith(b"HTTP/1.1 413")


def test_an_aborted_upload_is_counted_and_not_logged(port, caplog, capfd):
    with caplog.at_level(logging.DEBUG):
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(HEAD)
        metrics, stop = b"", time.monotonic() + 10
        while b'refused_total{status="499"} 5' not in metrics and time.monotonic() < stop:
            metrics = answer_of(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b'refused_total{status="499"} 5' in metrics
    assert "Disconnect" not in caplog.text + "".join(capfd.readouterr())
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
