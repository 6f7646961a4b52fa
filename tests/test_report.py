"""Pages: complete, self-contained, readable; checked in a browser if one is installed."""

import html.parser
import json
import re
import shutil
import subprocess

import pandas as pd
import pytest

import treatsel as ts
from treatsel._reporting.format import DASH, number, percent, points
from treatsel.datasets import make_cohort
from treatsel.errors import InputError
from treatsel.report import model_card, write_html, write_markdown
from treatsel.validation import validate

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="module")
def pages(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    selector = ts.load_model(trained / "m.treatsel")
    report = validate(selector, make_cohort(600, random_state=4, sites=["A", "B"]).cohort)
    manifest = ts.save_model(
        selector, folder / "m.treatsel", intended_use="Tests & <trials>.", validation=report.summary()
    )
    write_html(report, folder / "report.html")
    write_html(manifest, folder / "card.html")
    write_markdown(report, folder / "report.md")
    return folder, report, manifest


class Reader(html.parser.HTMLParser):
    """Collects tags and checks that they close in order."""

    VOID = frozenset({"meta", "link", "br", "img", "path", "use", "rect", "circle"})

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize("name", ["report.html", "card.html"])
def test_the_page_is_well_formed_and_self_contained(pages, name):
    text = (pages[0] / name).read_text()
    reader = Reader()
    reader.feed(text)
    assert not reader.open
    tags = [tag for tag, _ in reader.tags]
    assert "script" not in tags
    assert tags.count("h1") == 1
    for tag, attributes in reader.tags:
        for key in ("src", "href", "xlink:href"):
            value = attributes.get(key) or "#"
            assert value.startswith(("#", "data:")), f"{tag} refers to {value}"
        if tag == "figure":
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in ("col", "row")
    identifiers = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)


def test_references_inside_figures_resolve(pages):
    text = (pages[0] / "report.html").read_text()
    targets = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    assert targets <= set(re.findall(r'id="([^"]+)"', text))


def test_the_page_contains_headline_cautions_and_every_figure(pages):
    folder, report, _ = pages
    text = (folder / "report.html").read_text()
    elsewhere = ["missing outcomes", "confounding"]  # reported by scenario and by Lambda
    for measure in set(report.figures.loc[~report.figures["section"].isin(elsewhere), "measure"]):
        assert measure in text
    for caution in report.cautions:
        assert caution[:40].replace("'", "&#39;") in text
    assert report.headline[:60] in text


def test_what_users_write_is_escaped(pages):
    text = (pages[0] / "card.html").read_text()
    assert "Tests &amp; &lt;trials&gt;." in text


def test_markdown_has_the_same_content(pages):
    folder, report, _ = pages
    text = (folder / "report.md").read_text()
    assert text.startswith("# External validation: dropout\n")
    assert report.headline in text
    assert "| within-arm AUC | overall |" in text


def test_the_card_lists_statements_left_blank(pages):
    card = model_card(pages[2])
    assert "| Population | not stated: author to complete |" in card
    assert "| Purpose | Tests & \\<trials>. |" in card
    assert "phq9_start" in card


def test_the_card_states_if_nothing_was_validated(pages):
    _, _, manifest = pages
    bare = type(manifest)({**manifest.content, "validation": None})
    assert "No validation is stored" in model_card(bare)


def test_other_results_are_refused(tmp_path):
    with pytest.raises(InputError, match="not a DataFrame"):
        write_html(pd.DataFrame(), tmp_path / "page.html")


def test_missing_figures_are_dashes():
    assert percent(float("nan")) == number(None) == points(float("nan")) == DASH
    assert (percent(0.123), number(1.005), points(-0.01)) == (
        "12.3 %",
        "1.00",
        "-1.0 points",
    )


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("name", ["report.html", "card.html"])
@pytest.mark.parametrize("width", [400, 1200])
def test_a_browser_shows_the_page_without_errors_or_overflow(pages, tmp_path, name, width):
    """The page is put in a frame of the given width, as a window cannot be narrower than about 500."""
    page = (pages[0] / name).as_uri()
    probe = tmp_path / "probe.html"
    probe.write_text(
        f"""<iframe id="f" src="{page}" style="width:{width}px;height:900px;border:0"></iframe>
        <pre id="out"></pre>
        <script>f.onload = () => {{ const d = f.contentDocument, e = d.documentElement;
        const pictures = [...d.querySelectorAll('svg')].map(s => s.getBoundingClientRect());
        out.textContent = JSON.stringify({{inner: e.clientWidth, scroll: e.scrollWidth,
        headings: [...d.querySelectorAll('h1,h2')].map(h => h.textContent),
        empty: pictures.filter(r => r.width < 100 || r.height < 50).length, pictures: pictures.length}}) }}
        </script>"""
    )
    command = [
        *(CHROMIUM, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", "--allow-file-access-from-files"),
        *("--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom", probe.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ":CONSOLE(" not in done.stderr, done.stderr
    found = json.loads(re.search(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL).group(1))
    assert found["inner"] == width
    assert found["scroll"] <= found["inner"]
    assert found["empty"] == 0
    assert found["pictures"] == (pages[0] / name).read_text().count("<figure role")
    assert (found["pictures"] > 5) == (name == "report.html")
    assert len(found["headings"]) >= 5
