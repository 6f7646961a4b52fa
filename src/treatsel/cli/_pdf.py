"""A report's page as PDF, printed by a Chromium that is installed."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from treatsel.errors import InputError
from treatsel.validation import ValidationReport

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-pdf-header-footer",
)
SECONDS = 120


def write_pdf(report: ValidationReport, path: Path) -> None:
    """Print the page of a report.

    Raises
    ------
    InputError
        If there is no Chromium, or it does not print.
    """
    program = find_chromium()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder, "report.html")
        report.to_html(page)
        printed = Path(folder, "report.pdf")
        command = [program, *OPTIONS, f"--user-data-dir={folder}/profile", f"--print-to-pdf={printed}"]
        try:
            done = subprocess.run(
                [*command, page.as_uri()], capture_output=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            done = None
        if done is None or done.returncode or not printed.exists():
            raise InputError("Chromium did not print the page. Write --html, and print that page.")
        shutil.copyfile(printed, path)


def find_chromium() -> str:
    """Return the program.

    Raises
    ------
    InputError
        If there is none.
    """
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        raise InputError("--pdf needs Chromium. Install it, or write --html and print that page.")
    return program
