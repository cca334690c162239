"""The page in a real browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recbole_lecdsr.leaderboard import report
from recbole_lecdsr.leaderboard.embedding_map import EmbeddingMap, project
from recbole_lecdsr.leaderboard.model_names import model_name
from tests.helpers import studies
from tests.helpers.browser import Browser, find_chromium

pytestmark = pytest.mark.skipif(
    find_chromium() is None,
    reason="needs Chromium or Chrome: apt-get install chromium, or set CHROMIUM to its program",
)
STRENGTHS = {
    "LeCDSR": 2.0, "SASRec": 1.9, "SASRec:sequence=single": 1.4, "Pop": 0.8, "LeCDSR:no_item_semantics=True": 1.6,
    "LeCDSR:user_vectors=random": 1.7,
}  # fmt: skip
DESKTOP, PHONE = 1280, 390
LONG = "LeCDSR:item_embedding_file=e5-large-instruct.itememb:user_embedding_file=e5-large-instruct.useremb"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    studies.write_study(folder, STRENGTHS, seeds=(1, 2))
    studies.describe(folder, [*STRENGTHS, "HGN"], [1, 2])
    studies.fail_run(folder, "HGN", 1, f"UserError: {'a_path_without_a_blank/' * 20}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "embedding_map", made_up_map)
        return report.write_report(folder)["html"]


def made_up_map(run):
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 40, 8))
    tokens = np.array([f"i{i}" for i in range(40)])
    return EmbeddingMap(run.label, run.seed, tokens, np.arange(40) % 2, project(one, other), project(one, one + other))


@pytest.fixture(scope="module")
def browser():
    with Browser(find_chromium()) as open_browser:
        yield open_browser


def column(browser, table: str, number: int) -> list[str]:
    return browser.evaluate(
        f"[...document.querySelectorAll('{table} tbody tr')].map(row => row.cells[{number}].textContent.trim())"
    )


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_loads_without_errors_or_network(browser, page, width, dark):
    browser.problems.clear()
    browser.requests.clear()
    browser.open(page, width, dark=dark)
    assert browser.evaluate("document.documentElement.dataset.ready") == "true"
    assert browser.evaluate("document.querySelectorAll('.plot .main-svg').length > 0")
    drawn = browser.evaluate("[...document.querySelectorAll('.plot')].map(e => e.querySelectorAll('.trace').length)")
    assert len(drawn) == 12  # six figures, and three maps before and after training
    assert all(drawn)
    assert browser.problems == []
    assert browser.requests == [page.resolve().as_uri()]


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_nothing_is_wider_than_the_window(browser, page, width):
    browser.open(page, width)
    browser.evaluate("new Promise(done => setTimeout(done, 500))")
    sizes = browser.evaluate("[innerWidth, document.documentElement.scrollWidth, document.body.scrollWidth]")
    assert sizes == [width, width, width]
    boxes = browser.evaluate("[...document.querySelectorAll('.scroll')].map(e => e.getBoundingClientRect().right)")
    assert max(boxes) <= width
    if width == DESKTOP:  # there the leaderboard is seen whole
        assert browser.evaluate("(e => e.scrollWidth <= e.clientWidth)(document.querySelector('.scroll'))")


def test_figures_do_not_cover_what_follows(browser, page):
    for width in (DESKTOP, PHONE):
        browser.open(page, width)
        browser.evaluate("new Promise(done => setTimeout(done, 500))")
        over = browser.evaluate(
            "[...document.querySelectorAll('.chart')].map(chart => "
            "chart.querySelector('figcaption').getBoundingClientRect().top - "
            "Math.max(...[...chart.querySelectorAll('.main-svg')].map(svg => svg.getBoundingClientRect().bottom)))"
        )
        assert min(over) >= -1


def test_a_heading_sorts_the_rows_and_sorts_them_back(browser, page):
    browser.open(page, DESKTOP)
    start = column(browser, "#leaderboard", 0)
    names = [model_name(label, score_fusion=False) for label in STRENGTHS]
    assert sorted(start) == sorted(names)
    heading = "#leaderboard thead tr:nth-child(2) th:nth-child(3)"  # overall MRR, column 4 of the body
    browser.click(f"{heading} button")
    values = [float(text[:6]) for text in column(browser, "#leaderboard", 4)]
    assert values == sorted(values, reverse=True)
    assert browser.evaluate(f"document.querySelector('{heading}').getAttribute('aria-sort')") == "descending"
    descending = column(browser, "#leaderboard", 0)
    browser.click(f"{heading} button")
    assert column(browser, "#leaderboard", 0) == descending[::-1]
    assert browser.evaluate("document.querySelectorAll('#leaderboard [aria-sort]').length") == 1
    browser.click("#leaderboard thead th button")  # model, by name
    assert column(browser, "#leaderboard", 0) == sorted(names)


def test_every_heading_sorts_its_own_column(browser, page):
    browser.open(page, DESKTOP)
    columns = browser.evaluate("document.querySelectorAll('#leaderboard tbody tr:first-child > *').length")
    for number in range(2, columns):
        browser.click(f"#leaderboard thead tr:nth-child(2) th:nth-child({number - 1}) button")
        values = [float(text[:6]) for text in column(browser, "#leaderboard", number)]
        assert values in (sorted(values), sorted(values, reverse=True))


def test_a_button_changes_what_a_figure_shows(browser, page):
    browser.open(page, DESKTOP)
    shown = "document.getElementById('history').data[0].y"
    before = browser.evaluate(shown)
    browser.click("[data-for=history] button:nth-child(2)")
    assert browser.evaluate("document.querySelector('[data-for=history] [aria-pressed=true]').textContent") == "action"
    assert browser.evaluate(shown) != before


def test_runs_that_are_not_in_the_table_are_named(browser, page):
    browser.open(page, PHONE)
    text = browser.evaluate("document.getElementById('missing').innerText")
    assert "HGN, seed 1: failed: UserError: a_path" in text
    assert "HGN, seed 2: not started" in text


def test_colours_follow_the_readers_preference(browser, page):
    backs = []
    for dark in (False, True):
        browser.open(page, DESKTOP, dark=dark)
        backs.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert backs == ["rgb(255, 255, 255)", "rgb(20, 23, 28)"]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory) -> Path:
    """A page with a label of many parts, and a model that scores one domain."""
    study = tmp_path_factory.mktemp("crowded") / "study"
    labels = ("LeCDSR", LONG, "EMCDR", "SASRec")
    studies.write_study(study, dict(zip(labels, (2.0, 1.9, 1.0, 1.5), strict=True)))
    studies.score_target_only(study, "EMCDR")
    return report.write_report(study, embedding_maps=False)["html"]


@pytest.mark.parametrize(("width", "share"), [(DESKTOP, 0.6), (PHONE, 0.4)])
def test_long_labels_leave_room_for_what_is_drawn(browser, crowded, width, share):
    browser.open(crowded, width)
    browser.evaluate("new Promise(done => setTimeout(done, 500))")
    for key in ("curves", "ablations", "groups", "history", "cost"):
        plot = f"document.getElementById('{key}')"
        wide = browser.evaluate(f"{plot}._fullLayout._size.w / {plot}.clientWidth")
        assert wide >= share, (key, wide)
        inside = browser.evaluate(
            f"[...{plot}.querySelectorAll('.legendtext, .ytick text')].every(e => "
            f"e.getBoundingClientRect().right <= {width} && e.getBoundingClientRect().left >= 0)"
        )
        assert inside, key


def test_rows_without_a_number_come_last_in_either_order(browser, crowded):
    browser.open(crowded, DESKTOP)
    heading = "#leaderboard thead tr:nth-child(2) th:nth-child(3) button"
    for _ in range(2):
        browser.click(heading)
        assert column(browser, "#leaderboard", 0)[-1] == "EMCDR"
    assert column(browser, "#leaderboard", 2)[-1] == "–"
    text = browser.evaluate("document.querySelector('.statements').innerText")
    assert "EMCDR recommends in drama only." in text
    assert browser.problems == []
