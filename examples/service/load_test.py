"""Start the service in another process, send requests over loopback, and print rates and latencies.

Run: python load_test.py model.treatsel --seconds 10 --connections 8
"""

import argparse
import http.client
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from treatsel import serve


def main() -> None:
    """Run the load test and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    records = [json.dumps(record).encode() for record in made_up(serve.load_model(args.model), 200)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "app.py", "--port", str(port), "--workers", str(args.workers)]
    server = subprocess.Popen(
        command, cwd=Path(__file__).parent, env={**os.environ, "TREATSEL_MODEL": str(args.model.resolve())}
    )
    try:
        wait_for(port)
        print("| endpoint | connections | requests/s | p50 ms | p99 ms | worst ms | refused |")
        print("|---|---|---|---|---|---|---|")
        for path in ("/predict", "/recommend"):
            for connections in (1, args.connections):
                show(path, connections, *run(port, path, records, connections, args.seconds))
        show("/predict, half of them invalid", args.connections, *run(port, "/predict", mixed(records), 8, 3))
    finally:
        server.terminate()
        server.wait()


def made_up(model: serve.FittedModel, n: int) -> list[dict[str, Any]]:
    """Return records of random values that the codebook allows; one value in ten is missing."""
    source = random.Random(0)

    def value(name: str) -> Any:
        field = model.codebook[name]
        if source.random() < 0.1:
            return None
        if field.enum is not None:
            return source.choice(field.enum)
        low, high = model.ranges[name]
        return round(source.uniform(low, high)) if field.type != "number" else source.uniform(low, high)

    return [{name: value(name) for name in model.codebook.covariates} for _ in range(n)]


def wait_for(port: int) -> None:
    """Wait until the service responds."""
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/model")
            connection.getresponse().read()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("The service does not respond.")


def mixed(records: list[bytes]) -> list[bytes]:
    """Return records, every second one invalid."""
    broken = [b"{", b"[]", b'{"age": NaN}', b"\xff", b"{}"]
    return [record if i % 2 else broken[i // 2 % len(broken)] for i, record in enumerate(records)]


def run(
    port: int, path: str, bodies: list[bytes], connections: int, seconds: float
) -> tuple[list[float], float, int]:
    """Return the seconds of each request, the seconds of the run, and the number of rejected requests."""
    times: list[float] = []
    refused: list[int] = []
    stop = time.perf_counter() + seconds

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        own, i = [], number
        while (start := time.perf_counter()) < stop:
            connection.request("POST", path, bodies[i % len(bodies)])
            answer = connection.getresponse()
            answer.read()
            own.append(time.perf_counter() - start)
            if answer.status >= 500:
                raise SystemExit(f"The service failed: {answer.status}.")
            refused.extend([1] * (answer.status >= 400))
            i += connections
        times.extend(own)

    start = time.perf_counter()
    threads = [threading.Thread(target=work, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(times), time.perf_counter() - start, len(refused)


def show(name: str, connections: int, times: list[float], seconds: float, refused: int) -> None:
    """Print one row."""
    p50, p99, worst = (1000 * times[min(int(q * len(times)), len(times) - 1)] for q in (0.5, 0.99, 1))
    rate = len(times) / seconds
    print(f"| {name} | {connections} | {rate:.0f} | {p50:.2f} | {p99:.2f} | {worst:.1f} | {refused} |")


if __name__ == "__main__":
    main()
