"""What to export: all that is asked for, checked before any work is done."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from resnas_deploy.arch.alignment import aligned_arch, check_alignment
from resnas_deploy.arch.elements import BlockElement, elements
from resnas_deploy.arch.inputs import FLOAT32, input_named
from resnas_deploy.arch.spec import ArchSpec
from resnas_deploy.artifact.written_for import FOR_RUNNERS, OPENVINO
from resnas_deploy.batch import USUAL, BatchRange
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.exporting.calibration import DEFAULT_IMAGES, Calibration
from resnas_deploy.exporting.quantise import DEFAULT_DROP, DEFAULT_MINUTES
from resnas_deploy.exporting.scheme import Scheme, fused_attention, scheme_for, units_named
from resnas_deploy.graph.spelling import FOR_RUNTIMES, FOR_TENSORRT, GEMM, PACKED, SPELLINGS, Spelling
from resnas_deploy.precision import FP8, QUANTISED, check_precision
from resnas_deploy.runners.kind import RunnerKind

_FOR_A_RUNNER = ("int8",)  # the precisions of a graph that is written for one runner: of others there is one form


@dataclass(frozen=True)
class Request:
    """What to export. Raises `BadInput` for an unknown precision or alignment, and for what does not go together."""

    name: str  # of the architecture, for people
    out: Path
    precision: str = "fp32"
    batch: BatchRange = USUAL
    spelling: Spelling | None = None  # None: the one for engines, or for runtimes
    spelling_chosen: str = ""  # how and where, if it was measured
    for_engine: bool = False  # whether an engine will be built of it, which wants another spelling and quantisation
    class_names: Path | None = None  # a file of names; without one, the checkpoint's, or ImageNet's 1000
    force: bool = False  # replace an artifact that is there
    keep_failed: bool = False  # where verification fails, keep the artifact under another name
    threads: int = 0  # of the CPU; 0: all cores
    # images, or an array of images, that a quantised graph learns its ranges from: a file or folder, or themselves
    calibration: Path | Calibration | None = None
    calibration_images: int = DEFAULT_IMAGES
    data: str = ""  # labelled images that a quantised graph's accuracy is measured on, as `verify` takes them
    max_drop: float = DEFAULT_DROP
    keep: tuple[str, ...] = ()  # elements, or halves of blocks, that are not quantised
    # In engines: whether the products of attention are quantised where they stay one kernel; None: in fp8 they are.
    # Int8 has steps of 1/127 for the softmax's output, which of 257 tokens has a mean of 1/257.
    attention: bool | None = None
    # How long to look for elements that must not be quantised where the graph loses too much; 0: it then fails at once.
    fallback_minutes: float = DEFAULT_MINUTES
    input: str = FLOAT32.name  # what the graph takes, of `INPUTS`
    for_runner: str = ""  # the one runner that the graph is written for, of `FOR_RUNNERS`; empty: any may run it
    align: int = 1  # widths are padded with zeros to multiples of this, one of `ALIGNMENTS`
    verify_on: RunnerKind | None = field(kw_only=True)  # None: an artifact that is marked as unverified

    def __post_init__(self) -> None:
        check_precision(self.precision)
        check_alignment(self.align)
        input_named(self.input)
        self._check_runner()
        if self.quantised and self.written_in.linears == GEMM:
            raise BadInput(
                f"`spelling` must be without {GEMM} in {self.precision}, whose quantised products are MatMul, "
                f"found {self.written_in.name}; leave it out"
            )
        if self.precision not in QUANTISED:
            self._check_unquantised()
        elif self.attention is not None and not self._may_quantise_attention:
            raise BadInput(
                "`attention` must come with a `target` of TensorRT and a `spelling` that is packed, or with "
                f"`for_runner` {OPENVINO}: other runtimes compute its products in float32; leave it out"
            )
        elif self.data and not self.verify_on:
            raise BadInput("accuracy is compared when the graph is verified: leave `data` or `unverified` out")
        if self.keep_failed and not self.verify_on:
            raise BadInput("what is not verified cannot fail: ask for verification, or do not ask to keep what fails")

    def _check_runner(self) -> None:
        """Refuse a runner that no graph is written for, and what that runner would not run."""
        if not self.for_runner:
            return
        if self.for_runner not in FOR_RUNNERS:
            raise BadInput(
                f"`for_runner` must be {' or '.join(FOR_RUNNERS)}, found {shown(self.for_runner)}; "
                "leave it out for a graph that any runner may run"
            )
        if self.precision not in _FOR_A_RUNNER:
            raise BadInput(
                f"`for_runner` {self.for_runner} must come with `precision` {' or '.join(_FOR_A_RUNNER)}, found "
                f"{self.precision}, whose graph is the same for all; leave it out, or export in that precision"
            )
        if self.verify_on and self.verify_on.name != self.for_runner:
            raise BadInput(
                f"a graph for {self.for_runner} must be verified there, found `verify_on` {self.verify_on.name}; "
                "leave it out"
            )

    def _check_unquantised(self) -> None:
        """Refuse what would be ignored."""
        given = {
            "`calibration`": self.calibration is not None,
            "`data`": bool(self.data),
            "`max_drop`": self.max_drop != DEFAULT_DROP,
            "`attention`": self.attention is not None,
            "`keep`": bool(self.keep),
            "`fallback_minutes`": self.fallback_minutes != DEFAULT_MINUTES,
        }
        if names := [name for name, is_given in given.items() if is_given]:
            raise BadInput(
                f"{' and '.join(names)} must come with {' or '.join(QUANTISED)}, found `precision` {self.precision}"
            )

    @property
    def written_in(self) -> Spelling:
        """The spelling that the graph is written in: asked for, or what is fastest where it will be run."""
        return self.spelling or (FOR_TENSORRT if self.for_engine else FOR_RUNTIMES)

    @property
    def spellings(self) -> dict[str, Spelling]:
        """The spellings that the graph may be written in, by name, its own the first."""
        own = self.written_in
        others = {name: each for name, each in SPELLINGS.items() if each.linears != GEMM or not self.quantised}
        return {own.name: own} | others

    @property
    def quantised(self) -> bool:
        """Whether the graph is quantised."""
        return self.precision in QUANTISED

    @property
    def _may_quantise_attention(self) -> bool:
        """Whether what will run the graph multiplies attention's products in the new precision."""
        return self.for_runner == OPENVINO or (self.for_engine and self.written_in.attention == PACKED)

    def scheme(self, arch: ArchSpec) -> Scheme | None:
        """Return how the graph is quantised, if it is. Raise `BadInput` where an element to keep is none of it."""
        if not self.quantised:
            return None
        scheme = scheme_for(self.precision, self.for_engine, self.for_runner)
        usual = self._may_quantise_attention and (self.precision == FP8 or self.for_runner == OPENVINO)
        wanted = usual if self.attention is None else self.attention
        blocks = self._attention_blocks(arch) if wanted else ()
        if self.attention and not blocks:
            raise BadInput(
                f"`attention` must be kept where no builder makes one kernel of it in {self.precision}, "
                "found quantised; leave it out"
            )
        return replace(scheme, attention=blocks, kept=units_named(self.keep, arch))

    def _attention_blocks(self, arch: ArchSpec) -> tuple[str, ...]:
        """Return the blocks whose products of attention are quantised; on a CPU all whose queries are not one row."""
        if not self.for_runner:
            return fused_attention(aligned_arch(arch, self.align), self.precision)
        blocks = (element for element in elements(arch) if isinstance(element, BlockElement))
        return tuple(element.name for element in blocks if not element.last)


def attention_named(attention: str) -> bool | None:
    """Return whether the products are quantised, or None for what is usual."""
    known = {"": None, "quantised": True, "kept": False}
    if attention not in known:
        raise BadInput(f"`attention` must be quantised or kept, found {shown(attention)}")
    return known[attention]
