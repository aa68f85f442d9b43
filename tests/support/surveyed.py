"""What steps of a survey could have found."""

from __future__ import annotations

from resnas_deploy.measuring.latency.setup import Setting
from resnas_deploy.measuring.machine.conditions import Conditions
from resnas_deploy.measuring.machine.description import Machine
from resnas_deploy.measuring.measurement import Configuration, Measurement
from resnas_deploy.measuring.report import Reference, Report
from resnas_deploy.surveying.results import ModelCheck, Outcome, PredictionErrors, TimedNetwork, Verified

MACHINE = Machine("Some CPU", 2, "Linux", "3.12", ("Some GPU",), "1.2")
CONDITIONS = Conditions(1.0, 2, None, None, None, None, None, None, None, None)


def outcome(
    network, runner, times_ms, *, baseline=False, graph=False, error=0.0, latency="device only", precision="fp16"
):
    """A network that takes so many milliseconds at each batch size."""
    measurements = tuple(
        Measurement(
            Configuration(
                source=network,
                label=f"{network} {precision}",
                digest="x",
                precision=precision,
                runner=runner,
                version=f"{runner} 1",
                device="cuda:0 Some GPU",
                computes=precision,
                boundary="somewhere",
                latency=latency,
                threads=1,
                batch=batch,
                streams=1,
                images=batch,
            ),
            ((ms / 1e3,) * 3,),
            3,
            settled=True,
        )
        for batch, ms in times_ms.items()
    )
    report = Report(MACHINE, CONDITIONS, Reference("none", ((1.0,) * 3,)), measurements, interrupted=False)
    verified = None if baseline else Verified(1, error, 5e-3)
    return Outcome(timed=TimedNetwork(network, precision, runner, baseline, graph, verified, report))


def model(own, line):
    """A latency model of that error, beside that of a line through MACs."""
    setting = Setting("machine", "torch", "torch 2", "cuda:0", "fp16", 1, 1)
    errors = [("latency model", own), ("MACs", line), ("parameters", line), ("measured again", own / 2)]
    found = tuple(PredictionErrors(name, error, 2 * error, 0.9) for name, error in errors)
    return Outcome(model=ModelCheck(setting, "small", 60, (1.0, 2.0), (1.0, 2.0), (1.0, 2.0), found))
