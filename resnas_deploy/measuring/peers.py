"""Networks of other papers, to be measured beside ours by the same runners.

They are built from the configurations of `peer_specs`, with random weights, and traced to ONNX; nothing is downloaded.
DeiT needs no package but PyTorch to be run by it: where transformers is not installed, it is `plain_vit`'s. PiT, which
transformers has not, is always of `network/pit.py`. In int8 they are quantised as ours are, by `peer_int8`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.arch.inputs import FLOAT32
from resnas_deploy.artifact.artifact import MODEL, Artifact
from resnas_deploy.batch import USUAL, BatchRange
from resnas_deploy.errors import BadInput, PackageMissing, shown
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.measuring.peer_specs import NNCF, PEERS, PIT, UNMASKED, VIT, PeerSpec
from resnas_deploy.precision import FLOATS, precision_named
from resnas_deploy.processes.loggers import errors_only
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import Network
from resnas_deploy.weights.checkpoint import file_digest

if TYPE_CHECKING:
    import torch

OPSET = 23  # as ours; it has attention as one operator
SEED = 0  # of the weights: the time does not depend on them
INT8 = "int8"
_CLASSES = 1000
_PACKAGES = ("torch", "transformers")
_EXPORTER = ("onnxscript",)  # which torch's exporter writes with: for runners of graphs


class Peer:
    """A network to compare with. It is a `Network`, which runners open; the graph is traced when it is first asked for.

    Make one by `open_peer`, which removes the graph in the end.
    """

    arch = None
    input = FLOAT32.name

    def __init__(
        self,
        spec: PeerSpec,
        precision: str,
        folder: Path,
        progress: Progress,
        batch: BatchRange,
        for_runner: str,
    ) -> None:
        self.precision, self.batch = precision, batch
        self.for_runner = for_runner if precision == INT8 else ""  # in others theirs are written for any
        self.image_size = spec.image_size
        self.source = spec.name
        self.label = f"{spec.name} {precision} {spec.image_size} (untrained weights)"
        self._spec, self._folder, self._progress = spec, folder, progress

    @cached_property
    def model(self) -> Path:
        """The ONNX graph in this precision, with float32 images and logits."""
        _check_packages(_EXPORTER)
        self._progress(f"tracing {self.label}")
        path = self._folder / MODEL
        traced = "fp32" if self.precision == INT8 else self.precision
        _trace(self.module(), traced, self.image_size, self.batch, path)
        if self.precision == INT8:
            from resnas_deploy.measuring.peer_int8 import quantise_on_noise  # imports onnx

            quantise_on_noise(path, path, self.image_size, self.batch, self._progress, self.for_runner)
        return path

    @cached_property
    def digest(self) -> str:
        """The sha256 of the graph."""
        return file_digest(self.model)

    @property
    def weights_digest(self) -> str:
        """A sha256 of what the module is made of, for runners that need no graph."""
        made_of = [self._spec.name, sorted(self._spec.config.items()), self.precision, self.image_size, SEED]
        return hashlib.sha256(json.dumps([*made_of, is_plain(self._spec)]).encode()).hexdigest()

    def module(self) -> torch.nn.Module:
        """Return the network as a PyTorch module, float32, in evaluation mode; the same weights each time."""
        import torch

        network = _build(self._spec)
        if is_plain(self._spec):
            plain: torch.nn.Module = network.eval()
            return plain

        class Logits(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def forward(self, images: torch.Tensor) -> torch.Tensor:
                logits: torch.Tensor = self.network(pixel_values=images).logits
                return logits

        return Logits().eval()


@contextmanager
def open_peer(
    name: str,
    precision: str,
    progress: Progress = silent,
    specs: Mapping[str, PeerSpec] | None = None,
    batch: BatchRange = USUAL,
    for_runner: str = "",
) -> Iterator[Peer]:
    """Yield the network of that name; its graph is removed when the block ends. `progress` is told when it is traced.

    In int8 its graph is in the form of the runner `for_runner`, where one is named, as an export for it is.
    Raise `BadInput` for an unknown name or precision, `NotAvailable` where a package is missing.
    """
    specs = PEERS if specs is None else specs
    if name not in specs:
        raise BadInput(f"a network to compare with must be one of {', '.join(specs)}, found {shown(name)}")
    check_peer_precision(precision)
    _check_packages(_PACKAGES[:1] if specs[name].family in (VIT, PIT) else _PACKAGES)
    with scratch_folder("peer") as folder:
        yield Peer(specs[name], precision, folder, progress, batch, for_runner)


def is_plain(spec: PeerSpec) -> bool:
    """Whether a network is made without transformers here: PiT, which it lacks, or ViT where it is not installed."""
    return spec.family == PIT or (spec.family == VIT and importlib.util.find_spec("transformers") is None)


def check_peer_precision(precision: str) -> None:
    """Raise `BadInput` for a precision that peers cannot have."""
    if precision not in (known := (*FLOATS, INT8)):
        raise BadInput(
            f"a network to compare with must have a `precision` of {', '.join(known)}, found {shown(precision)}"
        )


def _check_packages(names: Sequence[str]) -> None:
    if missing := " ".join(name for name in names if importlib.util.find_spec(name) is None):
        raise PackageMissing(
            f"networks to compare with need packages that are missing: {missing}", f"pip install {missing}"
        )


def _classes(spec: PeerSpec) -> int:
    return int(cast(int, spec.config.get("num_labels", _CLASSES)))


@contextmanager
def beside_peers(networks: Sequence[Network], peers: Sequence[str], progress: Progress) -> Iterator[list[Network]]:
    """Yield the networks, and after them peers in the first one's precision, or in fp32 where there is none.

    Where the first is int8 for one runner alone, so are they.

    Raise `BadInput` where that one is quantised as engines want it: peers are quantised for runtimes on CPUs.
    """
    first = networks[0] if networks else None
    precision = first.precision if first else "fp32"
    quantisation = first.manifest.quantisation if isinstance(first, Artifact) else None
    around = (quantisation or {}).get("around", "fp32")
    if first and peers and around != "fp32":
        raise BadInput(
            f"`peers` are quantised as graphs for CPUs are, with fp32 around, found {first.source} "
            f"with {around}; measure them beside one that was exported without `target`"
        )
    with ExitStack() as stack:
        yield [
            *networks,
            *(
                stack.enter_context(opened_peer(name, precision, progress, first.for_runner if first else ""))
                for name in dict.fromkeys(peers)
            ),
        ]


def is_peer(source: str) -> bool:
    """Whether that is the name of a network to compare with."""
    return source in PEERS or source.startswith(NNCF)


def opened_peer(name: str, precision: str, progress: Progress, for_runner: str) -> AbstractContextManager[Network]:
    """Open what a name of `peers` stands for: `open_peer`'s, or with `nncf:` before it one of ours by NNCF, in int8."""
    if not name.startswith(NNCF):
        return open_peer(name, precision, progress, for_runner=for_runner)
    from resnas_deploy.measuring.nncf_peer import open_nncf_peer  # imports NumPy

    return open_nncf_peer(name, progress)


def _build(spec: PeerSpec) -> Any:
    """Return the network as transformers or a module of ours makes it, with seeded weights.

    torch's own generator stays as it is.
    """
    import torch

    if is_plain(spec):
        from resnas_deploy.network.pit import PiT  # both import torch
        from resnas_deploy.network.plain_vit import PlainViT

        kind = PiT if spec.family == PIT else PlainViT
        return kind(spec.config, spec.image_size, _classes(spec)).draw(torch.Generator().manual_seed(SEED))
    transformers, sdpa = import_quietly("transformers"), import_quietly("transformers.integrations.sdpa_attention")
    transformers.AttentionInterface.register(UNMASKED, sdpa.sdpa_attention_forward)
    settings = {"num_labels": _CLASSES, "image_size": spec.image_size, **spec.config}
    config = transformers.AutoConfig.for_model(spec.family, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return transformers.AutoModelForImageClassification.from_config(config, attn_implementation=spec.attention)


def _trace(module: torch.nn.Module, precision: str, image_size: int, batch: BatchRange, path: Path) -> None:
    import torch

    dtype = precision_named(precision).torch
    module = module.to(dtype)

    class Float32Ends(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.inner(images.to(dtype)).float()
            return logits

    with _quiet_exporter():
        program = torch.onnx.export(
            Float32Ends().eval(),
            (torch.zeros(2, 3, image_size, image_size),),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=batch.least, max=batch.most)},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise BadInput("torch.onnx.export must give a program, found none")
    program.save(path)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Silence the exporter's words about its own internals and about torchvision, which nothing here needs."""
    with errors_only("torch.onnx"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
