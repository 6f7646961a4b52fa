"""How a command ends: one line on stderr and an exit status, whatever happens; never a traceback."""

import errno
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from types import FrameType
from typing import Any, NoReturn

from treatsel._reporting.text import VisibleStream, in_one_line
from treatsel.errors import TreatselError

UNUSABLE = 2  # the input, an option, a file or the memory is not sufficient
UNEXPECTED = 70  # EX_SOFTWARE of sysexits.h: an error of the program
SIGNALED = 128  # plus the number of the signal, as in shells
RENEWED = 0.01  # seconds until a signal is sent again: the callback that dropped it has ended by then
DETAILS = "TREATSEL_TRACEBACK"
ERASE = "\r\x1b[K"  # start of the line, and delete it


class _SignalError(BaseException):
    """A request to end: files that are being written are removed on the way out."""

    def __init__(self, number: int) -> None:
        self.number = number


def status_of(run: Callable[[], int]) -> int:
    """Run a command and return its exit status."""
    with ExitStack() as stack:
        stack.enter_context(_streams())
        stack.enter_context(_signals())
        status = UNUSABLE
        try:
            status = run()
            with named_output():
                sys.stdout.flush()
        except BrokenPipeError:  # the reader of the output, such as `head`, has ended
            if status in (0, UNUSABLE):
                status = _fail("The reader of the output has ended.", SIGNALED + 13)
        except BaseException as error:
            status = _status_of(error)
        _discard_unwritten()
        return status


def _status_of(error: BaseException) -> int:
    if isinstance(error, TreatselError):
        return _fail(str(error), UNUSABLE, getattr(error, "__notes__", ()))
    if isinstance(error, KeyboardInterrupt):
        return _fail("Interrupted.", SIGNALED + signal.SIGINT)
    if isinstance(error, _SignalError):
        return _fail(f"Ended by {signal.Signals(error.number).name}.", SIGNALED + error.number)
    if isinstance(error, MemoryError):
        return _fail(
            "This needs more memory than is available. Use fewer patients, columns or jobs.", UNUSABLE
        )
    if isinstance(error, OSError):
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}.", UNUSABLE)
    if not isinstance(error, Exception) or os.environ.get(DETAILS):  # SystemExit of argparse
        raise error
    # the text of an exception from another library may hold a patient's value, so it is not shown
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(place.filename)}, line {place.lineno}"
    return _fail(
        f"Unexpected {type(error).__name__} ({where}). Please report it. To see details, which may hold "
        f"values of patients, set {DETAILS}=1.",
        UNEXPECTED,
    )


def _fail(message: str, status: int, notes: Sequence[str] = ()) -> int:
    with suppress(OSError, ValueError):  # nobody may be reading stderr
        print(f"treatsel: error: {in_one_line(message)}", file=sys.stderr)
        for note in notes:
            print(f"treatsel: {note}", file=sys.stderr)
    return status


# --- standard streams


@contextmanager
def named_output() -> Iterator[None]:
    """Name standard output in an error that names no file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or "standard output"
        raise


class _Closed(io.StringIO):
    """Standard output that was closed by the shell (``>&-``): output is refused, not lost in silence."""

    def write(self, text: str, /) -> int:
        raise OSError(errno.EBADF, "it is closed", "standard output")


@contextmanager
def _streams() -> Iterator[None]:
    """Let messages pass in any encoding, and show hidden characters as codes.

    `DataOutput` refuses data that would be changed by the encoding.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 # until the process ends
    if sys.stdout is None:
        sys.stdout = _Closed()
    stream, errors = sys.stdout, getattr(sys.stdout, "errors", None)
    reconfigure: Any = getattr(stream, "reconfigure", None)
    if reconfigure is None or errors is None:
        with _visible():
            yield
        return
    reconfigure(errors="backslashreplace")
    try:
        with _visible():
            yield
    finally:
        with suppress(OSError, ValueError):
            reconfigure(errors=errors)


@contextmanager
def _visible() -> Iterator[None]:
    """Show hidden characters as codes: a text from a file must not control the terminal."""
    out, messages = VisibleStream(sys.stdout), VisibleStream(sys.stderr, starts=(ERASE, "\r"))
    with redirect_stdout(out), redirect_stderr(messages):
        yield


def _discard_unwritten() -> None:
    """Flush standard output; what cannot be written is dropped, or Python would report it at exit."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


# --- signals


@contextmanager
def _signals() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into an exception, unless they are ignored (nohup) or handled by the caller."""
    numbers = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    usual = [n for n in numbers if n is not None and signal.getsignal(n) is signal.SIG_DFL]
    if threading.current_thread() is not threading.main_thread():
        usual = []

    def end(number: int, _: FrameType | None) -> NoReturn:
        for each in usual:  # a second signal must not interrupt the removal of files
            signal.signal(each, signal.SIG_IGN)
        raise _SignalError(number)

    def renew(number: int) -> None:
        if number in usual:
            signal.signal(number, end)
        threading.Timer(RENEWED, signal.pthread_kill, (threading.main_thread().ident, number)).start()

    for number in usual:
        signal.signal(number, end)
    with _dropped_ones(renew):
        try:
            yield
        finally:
            for number in usual:
                signal.signal(number, signal.SIG_DFL)


@contextmanager
def _dropped_ones(renew: Callable[[int], None]) -> Iterator[None]:
    """Renew a signal whose exception was raised where Python drops exceptions: in `__del__` or a callback.

    The command would otherwise go on as if nobody had asked it to end.
    """
    usual = sys.unraisablehook

    def hook(dropped: "sys.UnraisableHookArgs") -> None:
        error = dropped.exc_value
        if isinstance(error, _SignalError):
            renew(error.number)
        elif isinstance(error, KeyboardInterrupt):
            renew(signal.SIGINT)
        else:
            usual(dropped)

    if threading.current_thread() is threading.main_thread() and hasattr(signal, "pthread_kill"):
        sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual
