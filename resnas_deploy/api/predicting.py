"""Predicting as it goes on: image after image, however many there are, in flat memory."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self

from PIL.Image import Image

from resnas_deploy.api.parameters import checked
from resnas_deploy.api.predict_forms import Prediction
from resnas_deploy.arch.elements import OUTPUT
from resnas_deploy.arch.inputs import input_named
from resnas_deploy.artifact.artifact import Artifact
from resnas_deploy.batch import profile_for
from resnas_deploy.engines.finding import Need, open_subject, runner_of
from resnas_deploy.engines.identity import check_holds, nearest_batch, profiles_of
from resnas_deploy.engines.opening import with_engine
from resnas_deploy.engines.options import BatchProfile
from resnas_deploy.errors import BadInput, VerificationFailed
from resnas_deploy.images.counting import counting
from resnas_deploy.images.decode import load_image
from resnas_deploy.images.named import Named, images_named, is_read_once
from resnas_deploy.images.stream import read_batches
from resnas_deploy.progress import Counted, Progress, counted, silent
from resnas_deploy.runners.base import Options, Runner, usable_cores
from resnas_deploy.runners.classify import guesses
from resnas_deploy.runners.devices import CPU, device_kind
from resnas_deploy.runners.kind import RunnerKind
from resnas_deploy.runners.registry import default_runner, runner_kind
from resnas_deploy.runners.tf32 import check_rounds

USUAL_CPU, USUAL_GPU = 16, 64  # images at once: more are hardly faster, and the first results come later


class _Sizes:
    """How many images are run at once."""

    def __init__(self, artifact: Artifact, kind: RunnerKind, options: Options, batch: int | None) -> None:
        self.kind = kind
        self._on_cpu = device_kind(kind.device(options.device)) == CPU
        self._least, self._ran = artifact.batch.least, False
        self._profiles: Sequence[BatchProfile] = ()
        usual = batch or (USUAL_CPU if self._on_cpu else USUAL_GPU)
        if engine := options.engine:
            self._profiles = profiles_of(engine.made_of)
            self.usual = nearest_batch(engine, usual)
            if batch:
                check_holds(engine, (batch,))
        else:
            self.usual = artifact.batch.nearest(usual)

    def of(self, count: int) -> int:
        """Return how many rows to run for so many images, which may be fewer than the usual batch.

        As few as the network takes. But on a GPU some runtimes prepare for long for each new size, where rows cost
        little: once a whole batch was run, all are.
        """
        first, self._ran = not self._ran, True
        if count == self.usual or not (first or self._on_cpu):
            return self.usual
        if not self._profiles:
            return max(self._least, count)
        if profile_for(self._profiles, count):
            return count
        return min((profile.least for profile in self._profiles if profile.least > count), default=self.usual)


class Predicting(Iterator[Prediction]):
    """Predictions, as they are made: an iterator that holds the network, and frees it at its end or when it is closed.

    It is a context manager too, for whoever does not go to the end.
    """

    def __init__(self, artifact: Artifact, runner: str, batch: int, made: Generator[Prediction, None, None]) -> None:
        self.label = artifact.manifest.label  # of the artifact
        self.trained = artifact.manifest.provenance.trained  # or the classes mean nothing
        self.runner = runner
        self.batch = batch  # images that are run at once
        self._made = made

    def __next__(self) -> Prediction:
        return next(self._made)

    def close(self) -> None:
        """Free the network, and end the threads that read images."""
        self._made.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@checked
def predictions(
    artifact: str | Path | Artifact,
    images: str | Path | Iterable[str | Path],
    *,
    top: int = 5,
    batch: int | None = None,
    runner: str = "",
    engine: str | Path = "",
    device: str = "",
    tf32: bool = False,
    threads: int = 0,
    progress: Progress = silent,
) -> Predicting:
    """Classify images one after the other, any number of them in flat memory: an iterator of `Prediction`.

    They come in the order that they are named in, decoded by threads while the network runs. One that cannot be read
    comes with its `error`, and the others go on.

    Args:
        artifact: a folder, an engine in one (engines/ID.engine, .pt2, .onnx, .xml), or an artifact that is open.
        images: files (JPEG, PNG, WebP, GIF, TIFF, BMP), or folders of them at any depth; as text also patterns
            ("photos/**/*.jpg"), and lists of files and folders, one a line: "@list.txt", or "-" for standard input.
            An iterator is taken from as it goes on.
        top: classes of each image.
        batch: images that are run at once; 16 on a CPU and 64 on a GPU, or what the network takes that is nearest,
            where none is given. Results of other batches may differ by rounding.
        runner: the runtime; the first that can run the precision where none is named, or that of the engine.
        engine: the engine of the artifact to run: the beginning of its ID, or its file; the runner's, which is found
            or built, where none is named.
        device: cpu, cuda or cuda:N; the runner's usual one where none is named.
        tf32: on a GPU, let float32 be rounded to TF32.
        threads: of the CPU; 0 takes every core.
        progress: told what is being done.

    Raise `BadInput` for an artifact that is not whole, `NotAvailable` where the runtime is missing, and
    `VerificationFailed`, as it goes on, where a logit is not finite.
    """
    opened, file = open_subject(artifact, engine)
    manifest = opened.manifest
    kind = runner_of(file, runner) if file else None
    kind = kind or (runner_kind(runner, "`runner`") if runner else default_runner(manifest.precision, device=device))
    if tf32:
        kind.check_tf32(tf32, device)
        check_rounds(manifest.precision, manifest.type)
    if batch and not file and batch not in manifest.batch:
        raise BadInput(f"`batch` must lie in the range of {opened.folder}, {manifest.batch}, found {batch}")
    threads = threads or usable_cores()
    progress(f"loading {manifest.label} on {kind.name}")
    options = Options(threads, shares_cores=True, device=device, tf32=tf32, engine=file)
    options = with_engine(kind, opened, options, progress, Need((batch,) if batch else ()))
    sizes = _Sizes(opened, kind, options, batch)
    given: Iterable[str | Path] = [images] if isinstance(images, (str, Path)) else images
    with ExitStack() as stack:  # until the generator has it
        network = stack.enter_context(kind.open(opened, options))
        total = _nobody_knows
        if progress is not silent and not isinstance(given, Iterator) and not any(map(is_read_once, given)):
            total = stack.enter_context(counting(lambda: images_named(given, notes=False)))
        made = _predictions(
            network, opened, images_named(given), sizes, top, threads, _told(progress, total), stack.pop_all()
        )
    next(made)  # it has it from here on, and frees it whatever comes
    return Predicting(opened, kind.name, sizes.usual, made)


def _predictions(
    network: Runner,
    artifact: Artifact,
    images: Iterable[Named],
    sizes: _Sizes,
    top: int,
    threads: int,
    tell: Callable[[int], None],
    held: ExitStack,
) -> Generator[Prediction, None, None]:
    """Yield first something that is no prediction, and then one for each image."""
    manifest, kind = artifact.manifest, input_named(artifact.input)
    done = 0
    with (
        held,
        closing(read_batches(images, _load, manifest.preprocessing, kind, sizes.usual, threads=threads)) as batches,
    ):
        yield Prediction(artifact.folder, ())
        for found in batches:
            size = sizes.of(len(found))
            logits = network.run(found.images[:size])[OUTPUT]
            best = guesses(logits[: len(found)], top, manifest.class_names)
            for read, top_classes in zip(found.reads, best, strict=True):
                if read.made is None:
                    yield Prediction(read.item.path, (), read.error)
                elif top_classes is None:
                    raise VerificationFailed(
                        f"the logits of {read.item.path} must be finite, found NaN or infinity from {manifest.label} "
                        f"on {sizes.kind.name}; `verify()` {artifact.folder} says where it comes from"
                    )
                else:
                    yield Prediction(read.item.path, top_classes)
            done += len(found)
            tell(done)


def _nobody_knows() -> int:
    return 0


def _told(progress: Progress, total: Callable[[], int]) -> Callable[[int], None]:
    """Return what tells how many images are done, of how many where that is known."""
    what, unit = "classifying", "images"

    def tell(done: int) -> None:
        if found := total():
            progress(counted(what, done, found, unit))
        else:
            progress(Counted(f"{what}: {done} {unit}", done, 0, stage=what, unit=unit))

    return tell


def _load(named: Named) -> Image:
    if named.problem:
        raise BadInput(named.problem)
    return load_image(named.path)
