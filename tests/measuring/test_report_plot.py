"""Plots as files: each kind is one that other programs can read, whatever the names in it."""

from __future__ import annotations

import warnings
from html.parser import HTMLParser
from io import BytesIO
from xml.etree import ElementTree

import pytest
from PIL import Image
from support.checks import refusal
from support.made_up_measuring import measurement, report

from resnas_deploy.errors import NotAvailable
from resnas_deploy.measuring.extras import KINDS
from resnas_deploy.measuring.measurement import DEVICE
from resnas_deploy.measuring.plots import SUFFIXES, check_plot, plot_report

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


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


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
    svg = text[text.index("<svg") : text.rindex("</svg>") + 6]
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    page = Page(text)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("svg") == tags.count("table") == 1
    assert not {"script", "img", "link", "b", "iframe"} & set(tags)
    return page


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_kind_of_file(tmp_path, suffix):
    checked(drawn(tmp_path, example(), suffix), suffix)
    checked(drawn(tmp_path, example(shares=SHARES), suffix.upper()), suffix)


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_names(tmp_path, label):
    for suffix in (".svg", ".html"):
        page = checked(drawn(tmp_path, example(label, shares=SHARES, runner=label), suffix), suffix)
    assert any(label.split("\n")[0].strip("\x00") in text for text in page.text)


def test_the_page_has_the_figures(tmp_path):
    page = checked(drawn(tmp_path, example(), ".html"), ".html")
    assert {"label, ort-cpu, batch 1, host to host", "15.00", "19.00", "19.90", "66.7"} <= set(page.text)
    assert "out of memory" in page.text
    assert not [attrs for _, attrs in page.tags if "http" in str(attrs.get("src", ""))]


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
@pytest.mark.parametrize("suffix", [".svg"])
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


def test_another_suffix(tmp_path):
    for name in ("plot.pdf", "plot", ".svg", "plot.svg.gz"):
        message = refusal(lambda name=name: check_plot(tmp_path / name))
        assert "must end in .png, .svg, .html, found" in message
    check_plot(tmp_path / "plot.HTML")


def test_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotAvailable, match="pip install matplotlib"):
        check_plot(tmp_path / "plot.svg")
