"""The picture of a comparison for a README: a panel of MACs, and one for each setting that was measured."""

from __future__ import annotations

from collections.abc import Mapping

from resnas_deploy.measuring.tradeoff.charts import ACCURACY, FAMILIES, families, points_of, steps_of_ten
from resnas_deploy.measuring.tradeoff.contenders import OURS, YOURS
from resnas_deploy.measuring.tradeoff.result import Tradeoff
from resnas_deploy.pages.still import Line, Panel, Still

_MARKS = {"tiny": "Ti", "xs": "XS", "small": "S", "medium": "M", "base": "B", "large": "L"}
_RUNTIMES = {"ort-cpu": "ONNX Runtime", "openvino": "OpenVINO", "torch": "PyTorch"}


def picture(tradeoff: Tradeoff) -> str:
    """Return the text of an SVG file. Needs a network with a top-1 and a figure."""
    settings = sorted(
        tradeoff.settings,
        key=lambda each: (
            tradeoff.asked.runners.index(each.runner),
            each.batch,
            tradeoff.settings.index(each),
        ),
    )
    macs = {each.name: each.gmacs for each in tradeoff.asked.contenders}
    panels = [_panel(tradeoff, "As published", "MACs of an image, G", macs)]
    for setting in settings:
        found = {name: point.images_per_second for name, point in points_of(tradeoff, setting).items()}
        title = f"{_RUNTIMES.get(setting.runner, setting.runner)} {setting.precision}, batch {setting.batch}"
        panels.append(_panel(tradeoff, title, "images a second, measured", found))
    note = "Top-1: each paper's own, without distillation, not measured here."
    return Still("Accuracy against cost", ACCURACY, [each for each in panels if each.lines], note=note).svg()


def _panel(tradeoff: Tradeoff, title: str, across: str, found: Mapping[str, float]) -> Panel:
    lines = []
    for family, members in families(tradeoff).items():
        shown = sorted((each for each in members if each.name in found), key=lambda each: found[each.name])
        if shown:
            lines.append(
                Line(
                    family,
                    FAMILIES.index(family),
                    [(found[each.name], each.top1 or 0.0) for each in shown],
                    [each.name if family == YOURS else _MARKS.get(each.name.rpartition("-")[2], "") for each in shown],
                    strong=family in (OURS, YOURS),
                )
            )
    return Panel(title, across, lines, steps_of_ten([x for line in lines for x, _ in line.points]) if lines else ())
