"""Run one method on one sample, in a process of its own, so that its memory can be measured."""

import multiprocessing
import resource
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import pandas as pd

from benchmarks.selection.methods import Method, draws_of
from benchmarks.selection.process import Sample
from benchmarks.selection.scores import Prediction

WITH_DRAWS = 1000  # number of test patients with intervals


class MethodFailedError(Exception):
    """A method failed; the message is its traceback."""


def peak_kb() -> int:
    """Return the peak memory of this process so far, in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_child(function: Callable[[], Any]) -> Any:
    """Return the result of a function that is called in a forked process."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_answer, args=(function, theirs))
    child.start()
    theirs.close()
    try:
        done, answer = ours.recv()
    except EOFError:
        done, answer = False, "the process died"
    child.join()
    if not done:
        raise MethodFailedError(answer)
    return answer


def _answer(function: Callable[[], Any], pipe: Connection) -> None:
    try:
        pipe.send((True, function()))
    except Exception:
        pipe.send((False, traceback.format_exc()))


def fit_predict(
    method: Method, train: Sample, test: Sample, *, seed: int, site: str | None, draws: bool
) -> Prediction:
    """Fit a method and predict the test patients, with time and memory; to be called in a child."""
    warnings.simplefilter("ignore")
    X, new = train.X, test.X.drop(columns="arm")
    if site is not None:
        new = new.drop(columns=site)
        X = X if method.sees_site else X.drop(columns=site)
    before, started = peak_kb(), time.perf_counter()
    model = method.fit(X, train.y, seed, site if method.sees_site else None)
    fitted = time.perf_counter()
    by_arm: pd.DataFrame = model.predict_by_arm(new)
    ended, peak = time.perf_counter(), peak_kb()
    return Prediction(
        by_arm=by_arm,
        draws=draws_of(model, new.head(WITH_DRAWS)) if draws else None,
        fit_seconds=fitted - started,
        predict_seconds=ended - fitted,
        peak_mb=(peak - before) / 1024,
    )


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """A method of any library, ready to run: (train, test, seed, site, draws wanted) to a prediction."""

    name: str
    predict: Callable[[Sample, Sample, int, str | None, bool], Prediction]
    largest: int


def local(method: Method) -> Contestant:
    """Return a method of this interpreter as a contestant, each run in a child."""

    def predict(train: Sample, test: Sample, seed: int, site: str | None, draws: bool) -> Prediction:
        return in_child(lambda: fit_predict(method, train, test, seed=seed, site=site, draws=draws))

    return Contestant(name=method.name, predict=predict, largest=method.largest)
