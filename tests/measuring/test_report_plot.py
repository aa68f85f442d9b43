"""Plots of reports as files: each kind is one that other programs can read, whatever the names in it."""

from __future__ import annotations

import warnings
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from support.made_up_measuring import measurement, report
from support.seen_page import Seen

from resnas_deploy.measuring.extras import KINDS
from resnas_deploy.measuring.measurement import DEVICE
from resnas_deploy.measuring.plots import SUFFIXES
from resnas_deploy.measuring.report_plot import plot_report

pytest.importorskip("matplotlib")

SHARES = dict(zip(KINDS, (0.1, 0.3, 0.4, 0.1, 0.05, 0.05), strict=True))
HOSTILE = [
    "$x_1^{$",
    "a < b & c > d",
    "\"quoted\" 'too'",
    "<script>alert(1)</script>",
    "--><b>",
    "\\frac{1}{",
    "_hidden",
]
HOSTILE += ["\x00\x1b[31m", "名前 \U0001f600", "a\nb", "]]>", ""]


def example(label="label", **changes):
    items = [
        measurement(((0.01 * batch, 0.02 * batch),), batch=batch, images=batch, label=label, **changes)
        for batch in (8, 1, 2)
    ]
    return report(*items, measurement((), failure="out of memory", batch=64, label=label))


def drawn(tmp_path, found, suffix):
    path = tmp_path / f"plot{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_report(found, path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    content = path.read_bytes()
    path.unlink()
    return content


def checked(content, suffix):
    """The document, if it is what its suffix says."""
    if suffix == ".png":
        with Image.open(BytesIO(content)) as image:
            image.load()
            assert image.size[0] > image.size[1] > 300
        return None
    text = content.decode()
    if suffix == ".svg":
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        return text
    page = Seen(text)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == 1
    assert not {"img", "link", "b", "iframe"} & set(tags)
    return page


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_file(tmp_path, suffix):
    checked(drawn(tmp_path, example(), suffix), suffix)
    checked(drawn(tmp_path, example(shares=SHARES), suffix.upper()), suffix)


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_names(tmp_path, label):
    for suffix in (".svg", ".html"):
        page = checked(drawn(tmp_path, example(label, shares=SHARES, runner=label), suffix), suffix)
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in label)
    assert any(shown in text for text in page.texts)


def test_the_page_has_the_figures_and_the_lines(tmp_path):
    page = checked(drawn(tmp_path, example(), ".html"), ".html")
    assert {"label, ort-cpu, batch 1, host to host, 2 threads", "15.00", "19.00", "19.90", "66.7"} <= set(page.texts)
    assert "out of memory" in page.texts
    latency, throughput = page.data
    (line,) = latency["series"]
    assert line["x"] == latency["x"]["ticks"] == [1, 2, 8]
    np.testing.assert_allclose(line["y"], [15, 30, 120])
    np.testing.assert_allclose(line["yHigh"], [19.9, 39.8, 159.2])
    assert line["tips"][0].split("\n")[1:] == ["batch 1", "p50 15.00, p90 19.00, p99 19.90 ms", "66.7 images/s"]
    np.testing.assert_allclose(throughput["series"][0]["y"], [200 / 3] * 3, rtol=1e-4)


def test_the_page_has_the_shares_of_time(tmp_path):
    page = checked(drawn(tmp_path, example(shares=SHARES), ".html"), ".html")
    tips = [attributes["data-tip"].split("\n")[1] for _, attributes in page.tags if "data-tip" in attributes]
    assert tips == [f"{kind}: {share:.1%}" for kind, share in SHARES.items()] * 3


@pytest.mark.parametrize(
    "found",
    [
        report(),
        report(measurement((), failure="out of memory")),
        report(measurement(((0.1,),), streams=2, images=8)),
        report(measurement(((0.1,),), shares=SHARES), measurement(((0.1,),), latency=DEVICE)),
        report(*(measurement(((0.1,),), label=f"network {number}") for number in range(12))),
    ],
    ids=["nothing", "nothing fits", "streams alone", "two latencies", "more lines than colours"],
)
@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_little_or_much_to_draw(tmp_path, found, suffix):
    checked(drawn(tmp_path, found, suffix), suffix)


def names_in(svg):
    return {line.strip() for line in svg.split("<!--") for line in line.split("-->")[:1]}


def test_panels_and_lines(tmp_path):
    text = checked(drawn(tmp_path, example(shares=SHARES), ".svg"), ".svg")
    for title in ("Latency, p50 with a band to p99", "Throughput", "Where the time goes", "images/s", *KINDS):
        assert title in names_in(text)
    assert "Where the time goes" not in names_in(checked(drawn(tmp_path, example(), ".svg"), ".svg"))


def test_an_earlier_file_stays_where_drawing_fails(tmp_path, monkeypatch):
    (tmp_path / "plot.svg").write_text("earlier")
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        plot_report(example(), tmp_path / "plot.svg")
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("plot.svg", "earlier")]
