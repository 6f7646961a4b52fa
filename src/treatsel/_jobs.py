"""Parallel calls with joblib that are repeated if a worker dies."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Any

from joblib import Parallel, delayed

ATTEMPTS = 3  # consecutive attempts without any result before giving up


def run_jobs(
    function: Callable[..., Any],
    calls: Callable[[], Iterable[tuple[Any, ...]]],
    *,
    n_jobs: int | None,
    prefer: str | None = None,
) -> Iterator[tuple[int, Any]]:
    """Call a function with several sets of arguments, and yield results as they complete.

    Data on a Dask worker are lost when it dies, and joblib then cancels the calls that need them. Such calls
    are repeated; completed results are kept.

    Parameters
    ----------
    function : callable
        Returns the same result for the same arguments.
    calls : callable
        Returns the arguments of each call, always the same ones in the same order.
    n_jobs, prefer
        As in joblib.

    Yields
    ------
    (int, object)
        Number of the call, from 0, and its result; in no particular order.
    """
    done: set[int] = set()
    in_vain = 0
    while True:
        before = len(done)
        tasks = (
            delayed(_numbered)(number, function, *arguments)
            for number, arguments in enumerate(calls())
            if number not in done
        )
        try:
            for number, result in Parallel(n_jobs=n_jobs, prefer=prefer, return_as="generator_unordered")(
                tasks
            ):
                done.add(number)
                yield number, result
        except CancelledError:
            in_vain = in_vain + 1 if len(done) == before else 0
            if in_vain == ATTEMPTS:
                raise
        else:
            return


def results_of(
    function: Callable[..., Any],
    calls: Callable[[], Iterable[tuple[Any, ...]]],
    *,
    n_jobs: int | None,
    prefer: str | None = None,
) -> list[Any]:
    """Return the results of `run_jobs` in the order of the calls."""
    found = dict(run_jobs(function, calls, n_jobs=n_jobs, prefer=prefer))
    return [found[number] for number in range(len(found))]


def _numbered(number: int, function: Callable[..., Any], *arguments: Any) -> tuple[int, Any]:
    return number, function(*arguments)
