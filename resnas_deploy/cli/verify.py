"""`resnas verify`: an artifact's graph against the PyTorch module, again and anywhere."""

from __future__ import annotations

from resnas_deploy.cli.headroom import print_headroom
from resnas_deploy.cli.options import (
    ArtifactArgument,
    DataOption,
    DeviceOption,
    Json,
    MaxDropOption,
    RunnerOption,
    Threads,
    report_of,
    threads_or_all,
)
from resnas_deploy.cli.output import print_json, progress, say
from resnas_deploy.errors import VerificationFailed


def verify(
    artifact: ArtifactArgument,
    runner: RunnerOption = "",
    device: DeviceOption = "",
    data: DataOption = "",
    max_drop: MaxDropOption = 0.5,
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Check an artifact's files and compare its graph with the PyTorch module on a runtime of your choice.

    Examples:
    $ resnas verify small-fp32
    $ resnas verify small-fp32 --runner openvino
    $ resnas verify small-fp32 --runner ort-cuda --device cuda:1
    """
    with progress() as tell:
        tell("checking the files")
        from resnas_deploy.artifact.artifact import open_artifact
        from resnas_deploy.exporting.export import check_verifiable
        from resnas_deploy.runners.registry import graph_runner

        opened = open_artifact(artifact)
        precision = opened.manifest.precision
        kind = graph_runner(runner, precision, device).on(device)
        check_verifiable(kind, precision)
        from resnas_deploy.exporting.verify import verify as run

        described = {"artifact": str(artifact), "label": opened.manifest.label}
        try:
            found = run(opened, kind, threads_or_all(threads), tell, data, max_drop)
        except VerificationFailed as error:
            if as_json:
                print_json(described | {"error": str(error), "verification": report_of(error)})
            raise
    if as_json:
        print_json(described | {"error": None, "verification": found.to_json()})
        return
    say(f"{artifact}: {opened.manifest.label}: every file is as its hash says")
    say(f"verified: {found}")
    print_headroom(found)
