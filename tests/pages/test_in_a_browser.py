"""Pages in a real browser, at the width of a phone and of a desk: they can be read, and answer to pointer and keyboard.

Skipped where no Chromium is installed: `apt install chromium`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from support.browser import NAMES, find_browser, opened_browser
from support.evaluated import evaluated
from support.made_up_gate import OTHER_MACHINE, change, gated, history
from support.made_up_measuring import MACHINE, measurement, report
from support.made_up_search import reported, unmeasured
from support.made_up_tradeoff import made_up
from support.mini_space import MINI, SETTING, drawn, measured, sampled, truth

from resnas_deploy.evaluating.page import page as evaluation_page
from resnas_deploy.measuring.extras import KINDS
from resnas_deploy.measuring.gate_page import gate_page
from resnas_deploy.measuring.history.charts import page as history_page
from resnas_deploy.measuring.latency.deviations import deviations_of
from resnas_deploy.measuring.latency.deviations_plot import plot_deviations
from resnas_deploy.measuring.latency.profile import regression_of
from resnas_deploy.measuring.report_plot import plot_report
from resnas_deploy.measuring.tradeoff.page import page as tradeoff_page
from resnas_deploy.searching.report import page
from resnas_deploy.weights.space_files import space_named

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason=f"no browser on PATH (one of {', '.join(NAMES)}): apt install chromium"
)

WIDTHS = (400, 1600)
COUNT = 60
NAMED = ("search", "long names", "unmeasured", "bench", "check", "tradeoff", "evaluation", "gate", "history")
HOSTILE = "</script><b>a very long name, _that_ $somebody$ has given it, ".ljust(120, "x")
SHARES = dict(zip(KINDS, (0.1, 0.3, 0.4, 0.1, 0.05, 0.05), strict=True))

# Every text that is on the screen: each line of it, as a box. What scrolls by itself may be wider than the page.
TEXTS = """
(() => {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, parent = node.parentElement;
    if (!node.textContent.trim() || parent.closest("script, style, noscript, option, .tip")) continue;
    if (!parent.checkVisibility({ visibilityProperty: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (!box.width || !box.height) continue;
      found.push({ text: node.textContent.trim(), scrolls: !!parent.closest(".wide, .blocks"),
        left: box.left, right: box.right, top: box.top + 2, bottom: box.bottom - 2 });
    }
  }
  return found;
})()
"""


@cache
def search():
    """A search in the space that has the most blocks."""
    return reported(space_named("small"), COUNT)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with opened_browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages that resnas writes."""
    folder = tmp_path_factory.mktemp("pages")
    little = reported(MINI, 20)
    shown = {
        "search": search(),
        "long names": replace(little, searched=replace(little.searched, data=HOSTILE)),
        "unmeasured": unmeasured(little, HOSTILE),
    }
    for name, one in shown.items():
        (folder / f"{name}.html").write_text(page(one).html(), encoding="utf-8")
    (folder / "evaluation.html").write_text(evaluation_page(evaluated(HOSTILE)).html(), encoding="utf-8")
    (folder / "tradeoff.html").write_text(tradeoff_page(made_up()).html(), encoding="utf-8")
    ratios = [1.0, 1.01, 1.2, 1.0, 0.99, 1.0, 1.3, *[1.0] * 12]
    kept = history(ratios, label=HOSTILE, machines=(MACHINE, OTHER_MACHINE))
    (folder / "history.html").write_text(history_page(kept).html(), encoding="utf-8")
    found = gated(change(1.2, label=HOSTILE), *(change(1.0, batch=batch) for batch in (2, 8, 32)), notes=(HOSTILE,))
    (folder / "gate.html").write_text(gate_page(found, found.table(), kept).html(), encoding="utf-8")
    rng = np.random.default_rng(0)
    items = [
        measurement((0.004 * batch * (1 + 0.1 * rng.random((3, 10)))).tolist(), batch=batch, images=batch,
                    label=label, runner=runner, shares=SHARES)
        for label in ("small fp32", HOSTILE) for runner in ("ort-cpu", "openvino") for batch in (1, 2, 3, 4, 8, 32, 64)
    ]  # fmt: skip
    plot_report(report(*items, measurement((), failure=HOSTILE, batch=128)), folder / "bench.html")

    def noisy(archs):
        exact = measured(archs, truth())
        return [sampled(item.arch, item.ratio * float(np.exp(rng.normal(0, 0.02)))) for item in exact]

    profiled, held = noisy(drawn(MINI, 80)), drawn(MINI, 30, seed=1)
    found = deviations_of(regression_of(profiled), profiled, noisy(held), noisy(held))
    plot_deviations(found, SETTING, folder / "check.html")
    return folder


def overlapping(texts):
    """Pairs of texts that cover each other by more than a pixel."""
    ordered = sorted(texts, key=lambda one: one["left"])
    for number, one in enumerate(ordered):
        for other in ordered[number + 1 :]:
            if other["left"] >= one["right"] - 1:
                break
            if min(one["bottom"], other["bottom"]) - max(one["top"], other["top"]) > 1:
                yield one["text"], other["text"]


def assert_readable(browser, width):
    browser.drawn()
    assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    texts = browser.run(TEXTS)
    assert len(texts) > 20
    assert list(overlapping(texts)) == []
    assert [one for one in texts if not one["scrolls"] and not -1 <= one["left"] <= one["right"] <= width + 1] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMED)
def test_every_page_can_be_read(browser, pages, name, width):
    browser.open(pages / f"{name}.html", width)
    assert_readable(browser, width)
    charts = browser.run(
        "[...document.querySelectorAll('figure.chart')].map((one) => one.querySelectorAll('.dots').length)"
    )
    assert min(charts) > 0
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert_readable(browser, width)
    assert browser.run("document.querySelectorAll('b').length") == 0  # names are texts
    assert browser.problems() == []


def test_mistakes_are_drawn_in_the_page_itself(browser, pages):
    browser.open(pages / "evaluation.html", 400)
    drawn = "[...document.querySelectorAll('.gallery img')].map((one) => [one.naturalWidth, one.alt])"
    found = browser.run(drawn)
    assert len(found) > 10
    assert all(width == 16 and HOSTILE[:20] in said for width, said in found)


def test_a_window_that_changes_its_width(browser, pages):
    browser.open(pages / "search.html", 1600)
    browser.ask("Emulation.setDeviceMetricsOverride", width=400, height=900, deviceScaleFactor=1, mobile=True)
    assert_readable(browser, 400)
    assert browser.run("document.querySelector('.plot').getBoundingClientRect().width") < 400


@pytest.mark.parametrize("name", NAMED)
def test_dark_and_light_differ_and_both_have_contrast(browser, pages, name):
    """Of text on the page at least 7 to 1, and of each colour of a chart 3 to 1 (WCAG 2.2, 1.4.6 and 1.4.11)."""
    backs = []
    for dark in (False, True):
        browser.open(pages / f"{name}.html", 1600, dark=dark)
        names = ["back", "card", "ink", "soft", *(f"c{number}" for number in range(8))]
        colours = browser.run(
            f"{names!r}.map((one) => getComputedStyle(document.documentElement).getPropertyValue(`--${{one}}`))"
        )
        found = dict(zip(names, map(luminance, colours), strict=True))
        backs.append(found["back"])
        for ground in ("back", "card"):
            assert contrast(found[ground], found["ink"]) >= 7
            assert contrast(found[ground], found["soft"]) >= 4.5
            for number in range(8):
                assert contrast(found[ground], found[f"c{number}"]) >= 3, (dark, ground, number)
    assert backs[0] > 0.9 > 0.1 > backs[1]


def luminance(colour):
    digits = colour.strip().lstrip("#")
    digits = "".join(digit * 2 for digit in digits) if len(digits) == 3 else digits
    parts = np.array([int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one, other):
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.mark.parametrize("name", NAMED)
def test_without_scripts_the_tables_are_there(browser, pages, name):
    browser.open(pages / f"{name}.html", 400, scripts=False)
    document = browser.ask("DOM.getDocument")["root"]["nodeId"]
    try:
        for wanted in ("table td", "noscript p"):
            assert browser.ask("DOM.querySelectorAll", nodeId=document, selector=wanted)["nodeIds"]
        assert not browser.ask("DOM.querySelectorAll", nodeId=document, selector=".plot")["nodeIds"]
    finally:
        browser.ask("Emulation.setScriptExecutionDisabled", value=False)


def set_slider(browser, name, share):
    """Move the slider whose label begins so to a share of its way, as a person's input does."""
    browser.run(f"""(() => {{
      const labels = [...document.querySelectorAll('.filters label')];
      const label = labels.find((one) => one.textContent.startsWith({name!r}));
      const input = label.querySelector('input, select');
      input.value = Math.round(input.max * {share});
      input.dispatchEvent(new Event('input', {{ bubbles: true }}));
    }})()""")
    browser.drawn()


def status(browser):
    return browser.run("document.querySelector('.found').textContent")


@pytest.mark.parametrize("width", WIDTHS)
def test_filters(browser, pages, width):
    candidates = search().candidates
    latencies = [1.06 * candidate.costs[0] for candidate in candidates]  # the upper ends
    low = min(candidate.costs[0] for candidate in candidates)
    browser.open(pages / "search.html", width)
    assert status(browser).startswith(f"{COUNT} of {COUNT} candidates are inside; the most accurate: ")
    set_slider(browser, "predicted latency at most", 0.5)
    most = low + (max(latencies) - low) / 2
    inside = [item for item in candidates if 1.06 * item.costs[0] <= most]
    assert 0 < len(inside) < COUNT
    best = max((item for item in inside if not item.score.stopped), key=lambda item: item.score.accuracy)
    expected = f"{len(inside)} of {COUNT} candidates are inside; the most accurate: {100 * best.score.accuracy:.2f}%"
    assert status(browser).startswith(expected)
    assert_readable(browser, width)
    set_slider(browser, "found until iteration", 0)
    first = [item for item in inside if item.iteration == 0]
    assert status(browser).startswith(f"{len(first)} of {COUNT}")
    set_slider(browser, "top-1 at least", 1)
    assert status(browser) == f"None of {COUNT} candidates is inside these limits."
    assert_readable(browser, width)
    browser.run("document.querySelector('.filters button').click()")
    assert status(browser).startswith(f"{COUNT} of {COUNT}")
    assert browser.problems() == []


def test_limits_that_do_not_count_the_upper_end_let_more_in(browser, pages):
    browser.open(pages / "search.html", 1600)
    set_slider(browser, "predicted latency at most", 0.5)
    before = int(status(browser).split()[0])
    browser.run("[...document.querySelectorAll('.filters input[type=checkbox]')][0].click()")
    assert int(status(browser).split()[0]) > before > 0


def test_another_cost_across(browser, pages):
    browser.open(pages / "search.html", 1600)
    labels = "[...document.querySelectorAll('figure.chart:first-of-type .label')].map((one) => one.textContent)"
    legend = "document.querySelector('.legend').textContent"
    assert browser.run(labels)[1] == "predicted latency, ms"
    assert "finalists, measured" in browser.run(legend)
    assert "limit: " in browser.run(legend)
    browser.run("""(() => { const one = document.querySelector('.filters select'); one.value = 1;
      one.dispatchEvent(new Event('input', { bubbles: true })); })()""")
    assert browser.run(labels)[1] == "MACs, G"
    assert "measured" not in browser.run(legend)


def tip(browser):
    return browser.run(
        "(() => { const one = document.querySelector('.tip'); return one.hidden ? '' : one.innerText; })()"
    )


def test_the_keyboard_goes_from_point_to_point(browser, pages):
    browser.open(pages / "search.html", 400)
    for _ in range(30):
        browser.press("Tab")
        if browser.run("document.activeElement.classList.contains('plot')"):
            break
    assert browser.run("document.activeElement.classList.contains('plot')")
    browser.press("ArrowRight")
    first = tip(browser)
    assert first.startswith("finalist ")
    assert ", measured, iteration " in first
    assert any(item.candidate.subnet.arch.fingerprint in first for item in search().finalists)
    assert "predicted latency: " in first
    assert "\nstage 3: width " in first
    assert "image size" not in first  # which all have
    browser.press("ArrowRight")
    assert tip(browser) not in ("", first)
    browser.press("ArrowLeft")
    assert tip(browser) == first
    browser.press("ArrowUp")
    assert ", predicted, iteration " in tip(browser)
    browser.press("ArrowDown", "ArrowDown", "End")
    assert tip(browser).startswith("scored")
    box = browser.run(
        "(() => { const b = document.querySelector('.tip').getBoundingClientRect(); return [b.left, b.right]; })()"
    )
    assert box[0] >= 0
    assert box[1] <= 400
    browser.press("Escape")
    assert tip(browser) == ""
    browser.press("Tab")
    assert browser.problems() == []


@pytest.mark.parametrize("name", NAMED)
def test_the_pointer_shows_what_is_under_it(browser, pages, name):
    browser.open(pages / f"{name}.html", 1600)
    x, y = browser.run("""(() => {
      const svg = document.querySelector('.plot'), dots = [...svg.querySelectorAll('.dots')].pop();
      svg.scrollIntoView({ block: 'center' });
      const [, left, top] = dots.getAttribute('d').match(/M([\\d.]+) ([\\d.]+)/);
      const box = svg.getBoundingClientRect();
      return [box.left + Number(left), box.top + Number(top)];
    })()""")
    browser.point(x, y)
    assert len(tip(browser).splitlines()) >= 3
    browser.point(1, 1)
    assert tip(browser) == ""


def test_a_comparison_is_shown_in_the_setting_that_is_chosen(browser, pages):
    browser.open(pages / "tradeoff.html", 1600)
    label = "[...document.querySelectorAll('figure.chart:last-of-type .label')].map((one) => one.textContent)[1]"
    dots = (
        "[...document.querySelectorAll('figure.chart:last-of-type .dots')].map((one) => one.getAttribute('d')).join()"
    )
    assert status(browser) == "16 networks on ort-cpu, fp32, batch 1"
    assert browser.run(label) == "images a second, ort-cpu, fp32, batch 1"
    before = browser.run(dots)
    for number, value in ((0, "openvino"), (1, "int8"), (2, "16")):
        browser.run(f"""(() => {{ const one = document.querySelectorAll('.filters select')[{number}];
          one.value = '{value}'; one.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()""")
    assert status(browser) == "16 networks on openvino, int8, batch 16"
    assert browser.run(label) == "images a second, openvino, int8, batch 16"
    assert browser.run(dots) != before
    assert_readable(browser, 1600)
    browser.run("document.querySelector('figure.chart:last-of-type .plot').focus()")
    browser.press("ArrowRight")
    first, accuracy, costs, throughput, time = tip(browser).splitlines()
    assert "% (published: " in accuracy
    assert "arXiv" in accuracy
    assert "G MACs" in costs
    assert throughput.endswith(")")
    assert " images/s (" in throughput
    assert time.endswith(" ms on openvino, int8, batch 16")
    names = {first}
    for _ in range(4):
        browser.press("ArrowDown")
        names.add(tip(browser).splitlines()[0])
    assert len({name.partition("-")[0] for name in names} - {"tiny", "small", "medium"}) == 4  # the other families
    assert browser.problems() == []


def test_a_setting_that_was_not_measured_is_said(browser, pages, tmp_path):
    found = made_up(["small", "pit-small"], settings=(("ort-cpu", "fp32"), ("openvino", "int8")), batches=(1,))
    (tmp_path / "some.html").write_text(tradeoff_page(found).html(), encoding="utf-8")
    browser.open(tmp_path / "some.html", 400)
    browser.run("""(() => { const one = document.querySelectorAll('.filters select')[1];
      one.value = 'int8'; one.dispatchEvent(new Event('input', { bubbles: true })); })()""")
    assert status(browser) == "Nothing was measured on ort-cpu, int8, batch 1."
    assert browser.problems() == []


def test_bars_and_blocks_have_tips_for_the_keyboard(browser, pages):
    for name, wanted in (("bench", ".shares span"), ("search", ".block")):
        browser.open(pages / f"{name}.html", 400)
        browser.run(f"document.querySelector({wanted!r}).focus()")
        assert len(tip(browser).splitlines()) >= 2
        browser.press("Escape")
        assert tip(browser) == ""


def test_a_series_can_be_taken_out_and_put_back(browser, pages):
    browser.open(pages / "bench.html", 400)
    count = "document.querySelectorAll('figure.chart:first-of-type .dots').length"
    button = "document.querySelector('.legend button')"
    before = browser.run(count)
    browser.run(f"{button}.focus()")
    browser.press("Enter")
    assert browser.run(count) == before - 1
    assert browser.run(f"{button}.getAttribute('aria-pressed')") == "false"
    assert browser.run(f"document.activeElement === {button}")
    browser.press("Enter")
    assert browser.run(count) == before


def test_a_history_tells_each_run_to_the_pointer_and_the_keyboard(browser, pages):
    """The first chart: each run of a machine by the arrow keys, what was slower apart, changes as upright lines."""
    browser.open(pages / "history.html", 1600)
    chart = "document.querySelector('figure.chart')"
    assert browser.run(f"{chart}.querySelectorAll('path.limit').length") == 4
    assert "before run 6: another machine" in browser.run(f"{chart}.querySelector('.legend').textContent")
    browser.run(f"{chart}.querySelector('svg').focus()")
    browser.press("ArrowRight")
    browser.press("Home")
    tip = browser.run("document.querySelector('.tip').textContent")
    assert "run 3, 2026-02-02T12:00:00Z" in tip
    assert "slower" in tip
    browser.press("End")
    assert "run 7, " in browser.run("document.querySelector('.tip').textContent")
    browser.press("ArrowUp")
    browser.press("End")
    assert "another CPU" in browser.run("document.querySelector('.tip').textContent")
    assert browser.problems() == []
