"""Networks of other papers, to be measured beside ours by the same runners.

They are built from configurations written here, with random weights, and traced to ONNX; nothing is downloaded. DeiT
needs no package but PyTorch to be run by it: where transformers is not installed, it is `plain_vit`'s.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.arch.inputs import FLOAT32
from resnas_deploy.artifact.artifact import MODEL
from resnas_deploy.batch import USUAL, BatchRange
from resnas_deploy.errors import BadInput, PackageMissing, shown
from resnas_deploy.files.workplace import scratch_folder
from resnas_deploy.precision import precision_named
from resnas_deploy.processes.quiet import import_quietly
from resnas_deploy.progress import Progress, silent
from resnas_deploy.runners.base import Network
from resnas_deploy.weights.checkpoint import file_digest

if TYPE_CHECKING:
    import torch

# transformers gives every implementation that it knows a mask when it is traced, all ones here, which costs time. It
# gives none to one that was registered under another name.
UNMASKED = "unmasked_sdpa"
OPSET = 23  # as ours; it has attention as one operator
SEED = 0  # of the weights: the time does not depend on them
_CLASSES = 1000
_PACKAGES = ("torch", "transformers")
_EXPORTER = ("onnxscript",)  # which torch's exporter writes with: for runners of graphs
_PLAIN = "vit"  # the family that `plain_vit` can be


@dataclass(frozen=True)
class PeerSpec:
    """A published network: what Hugging Face's transformers builds it from, and what it costs."""

    name: str
    gmacs: float  # billions of multiply-accumulates for one image, as published
    parameters: int
    family: str  # `model_type` of transformers
    attention: str  # which of its implementations: `UNMASKED`, or eager where the family has no other to be traced
    image_size: int
    config: Mapping[str, object]


class Peer:
    """A network to compare with. It is a `Network`, which runners open; the graph is traced when it is first asked for.

    Make one by `open_peer`, which removes the graph in the end.
    """

    arch = None
    input = FLOAT32.name
    for_runner = ""

    def __init__(
        self, spec: PeerSpec, precision: str, folder: Path, progress: Progress, batch: BatchRange = USUAL
    ) -> None:
        self.precision, self.batch = precision, batch
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
        _trace(self.module(), self.precision, self.image_size, self.batch, path)
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

        if is_plain(self._spec):
            return _plain(self._spec).eval()
        network = _build(self._spec)

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
) -> Iterator[Peer]:
    """Yield the network of that name; its graph is removed when the block ends. `progress` is told when it is traced.

    Raise `BadInput` for an unknown name or precision, `NotAvailable` where a package is missing.
    """
    specs = PEERS if specs is None else specs
    if name not in specs:
        raise BadInput(f"a network to compare with must be one of {', '.join(specs)}, found {shown(name)}")
    precision_named(precision)
    _check_packages(_PACKAGES[:1] if specs[name].family == _PLAIN else _PACKAGES)
    with scratch_folder("peer") as folder:
        yield Peer(specs[name], precision, folder, progress, batch)


def is_plain(spec: PeerSpec) -> bool:
    """Whether a network is made without transformers here, which is not installed."""
    return spec.family == _PLAIN and importlib.util.find_spec("transformers") is None


def _check_packages(names: Sequence[str]) -> None:
    if missing := " ".join(name for name in names if importlib.util.find_spec(name) is None):
        raise PackageMissing(
            f"networks to compare with need packages that are missing: {missing}", f"pip install {missing}"
        )


def _plain(spec: PeerSpec) -> torch.nn.Module:
    import torch

    from resnas_deploy.network.plain_vit import PlainViT  # imports torch

    return PlainViT(spec.config, spec.image_size, _classes(spec)).draw(torch.Generator().manual_seed(SEED))


def _classes(spec: PeerSpec) -> int:
    return int(cast(int, spec.config.get("num_labels", _CLASSES)))


@contextmanager
def beside_peers(networks: Sequence[Network], peers: Sequence[str], progress: Progress) -> Iterator[list[Network]]:
    """Yield the networks, and after them peers in the first one's precision, or in fp32 where there is none."""
    precision = networks[0].precision if networks else "fp32"
    with ExitStack() as stack:
        yield [
            *networks,
            *(stack.enter_context(open_peer(name, precision, progress)) for name in dict.fromkeys(peers)),
        ]


def _build(spec: PeerSpec) -> Any:
    """Return the network as transformers makes it, with seeded weights; torch's own generator stays as it is."""
    import torch

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
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _deit(name: str, gmacs: float, parameters: int, width: int, heads: int) -> PeerSpec:
    """Return DeiT without its distillation token: ViT (arXiv 2012.12877, table 1). MACs: PVT, table 2."""
    config = {
        "patch_size": 16,
        "hidden_size": width,
        "num_hidden_layers": 12,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    }
    return PeerSpec(f"deit-{name}", gmacs, parameters, "vit", UNMASKED, 224, config)


def _pvt(name: str, gmacs: float, parameters: int, depths: tuple[int, ...]) -> PeerSpec:
    """Return the pyramid vision transformer, version 1 (PVT, arXiv 2102.12122, tables 1 and 2)."""
    config = {
        "depths": depths,
        "hidden_sizes": (64, 128, 320, 512),
        "num_attention_heads": (1, 2, 5, 8),
        "mlp_ratios": (8, 8, 4, 4),
        "sequence_reduction_ratios": (8, 4, 2, 1),
        "patch_sizes": (4, 2, 2, 2),
        "strides": (4, 2, 2, 2),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "qkv_bias": True,
    }
    return PeerSpec(f"pvt-{name}", gmacs, parameters, "pvt", "eager", 224, config)


def _swin(name: str, gmacs: float, parameters: int, depths: tuple[int, ...]) -> PeerSpec:
    """Return Swin (arXiv 2103.14030, section 3.3 and table 1).

    With sdpa attention its windows cannot be traced with a dynamic batch.
    """
    config = {
        "patch_size": 4,
        "embed_dim": 96,
        "depths": depths,
        "num_heads": (3, 6, 12, 24),
        "window_size": 7,
        "mlp_ratio": 4.0,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "qkv_bias": True,
        "use_absolute_embeddings": False,
    }
    return PeerSpec(f"swin-{name}", gmacs, parameters, "swin", "eager", 224, config)


PEERS: Mapping[str, PeerSpec] = {
    spec.name: spec
    for spec in (
        _deit("tiny", 1.3, 5_717_416, width=192, heads=3),
        _deit("small", 4.6, 22_050_664, width=384, heads=6),
        _deit("base", 17.6, 86_567_656, width=768, heads=12),
        _pvt("tiny", 1.9, 13_229_288, depths=(2, 2, 2, 2)),
        _pvt("small", 3.8, 24_485_864, depths=(3, 4, 6, 3)),
        _pvt("medium", 6.7, 44_208_104, depths=(3, 4, 18, 3)),
        _swin("tiny", 4.5, 28_288_354, depths=(2, 2, 6, 2)),
        _swin("small", 8.7, 49_606_258, depths=(2, 2, 18, 2)),
    )
}
