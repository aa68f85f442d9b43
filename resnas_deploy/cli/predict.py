"""`resnas predict`: the top classes of image files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from resnas_deploy.cli.options import (
    MAX_COUNT,
    ArtifactArgument,
    DeviceOption,
    Json,
    RunnerOption,
    Threads,
    threads_or_all,
)
from resnas_deploy.cli.output import complain, print_json, print_table, progress, say
from resnas_deploy.errors import BadInput, VerificationFailed


def predict(
    artifact: ArtifactArgument,
    images: Annotated[
        list[Path],
        typer.Argument(help="Image files (JPEG, PNG, WebP, GIF, TIFF, BMP), or folders of them.", show_default=False),
    ],
    top: Annotated[int, typer.Option(help="Classes to show for each image.", metavar="N", min=1, max=MAX_COUNT)] = 5,
    runner: RunnerOption = "",
    device: DeviceOption = "",
    threads: Threads = 0,
    as_json: Json = False,
) -> None:
    """Classify images, and those in folders. What cannot be read is named on stderr, and the exit is 2 in the end.

    Example:
    $ resnas predict small-fp32 images/*.jpg
    """
    with progress() as tell:
        tell("checking the files")
        import numpy as np

        from resnas_deploy.arch.elements import OUTPUT
        from resnas_deploy.artifact.artifact import open_artifact
        from resnas_deploy.engines.opening import open_runner
        from resnas_deploy.images.decode import load_image
        from resnas_deploy.images.listing import images_named
        from resnas_deploy.images.preprocessing import preprocess
        from resnas_deploy.runners.base import Options
        from resnas_deploy.runners.registry import default_runner, runner_kind

        opened = open_artifact(artifact)
        manifest = opened.manifest
        kind = runner_kind(runner) if runner else default_runner(manifest.precision, device=device)
        results, errors = list[tuple[Path, list[tuple[int, float]]]](), list[str]()
        tell(f"loading {manifest.label} on {kind.name}")
        with open_runner(kind, opened, Options(threads_or_all(threads), device=device)) as network:
            for path in _images(images, images_named, errors):
                tell(f"classifying {path}")
                try:
                    image = preprocess(load_image(path), manifest.preprocessing)
                except BadInput as error:
                    errors.append(str(error))
                    continue
                batch = np.repeat(image[None], manifest.batch.least, axis=0)
                logits = network.run(batch)[OUTPUT][0].astype(np.float64)
                if not np.isfinite(logits).all():
                    raise VerificationFailed(
                        f"the logits of {path} must be finite, found NaN or infinity from {manifest.label} on "
                        f"{kind.name}; resnas verify {artifact} says where it comes from",
                        None,
                    )
                shares = np.exp(logits - logits.max())
                shares /= shares.sum()
                best = np.argsort(-shares, kind="stable")[:top]
                results.append((path, [(int(number), float(shares[number])) for number in best]))
    names = manifest.class_names
    if as_json:
        print_json(
            {
                "label": manifest.label,
                "trained": manifest.provenance.trained,
                "runner": kind.name,
                "images": [
                    {
                        "image": str(path),
                        "top": [
                            {"class": number, "name": names[number] if names else None, "probability": share}
                            for number, share in best
                        ],
                    }
                    for path, best in results
                ],
                "errors": errors,
            }
        )
    elif results:
        if not manifest.provenance.trained:
            say("The weights are untrained: these classes mean nothing.")
        print_table(
            f"{manifest.label} on {kind.name}",
            ("image", "class", "probability"),
            [
                (
                    str(path) if rank == 0 else "",
                    f"{names[number]} ({number})" if names else f"class {number}",
                    f"{100 * share:.1f} %",
                )
                for path, best in results
                for rank, (number, share) in enumerate(best)
            ],
            text_columns=2,
        )
    for message in errors:
        complain(message)
    if errors:
        raise typer.Exit(BadInput.exit_code)


def _images(given: list[Path], named: Callable[[Path], Sequence[Path]], errors: list[str]) -> Iterator[Path]:
    """The images one by one; what is wrong with a folder is added to `errors` when its turn comes."""
    for path in given:
        try:
            yield from named(path)
        except BadInput as error:
            errors.append(str(error))
