"""Checkpoints of the reference's format (`torch.save`) to ours. The only place that reads a pickle."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnas_deploy.arch.elements import BlockElement, ReductionElement, elements
from resnas_deploy.arch.space import SearchSpace
from resnas_deploy.arch.spec import ArchSpec, Subnet
from resnas_deploy.errors import BadInput, first_few, shortened, shown
from resnas_deploy.weights.checkpoint import Array, Checkpoint, Provenance, file_digest
from resnas_deploy.weights.schema import patch_head_shapes, tensor_shapes
from resnas_deploy.weights.slicing import block_positions
from resnas_deploy.weights.vit_search.archive import SAVE, check_archive
from resnas_deploy.weights.vit_search.inert import stand_ins
from resnas_deploy.weights.vit_search.network_def import parse_network_def

if TYPE_CHECKING:
    import torch

_STEM = {
    "stem.class_token": "tokens",
    "stem.position": "pos_embed",
    "stem.projection.weight": "patch_embed.conv_proj.weight",
    "stem.projection.bias": "patch_embed.conv_proj.bias",
}
_LAYERS = {  # in a block or a reduction: our layer, theirs
    "norm1": "norm1",
    "attention.qkv": "attn.qkv",
    "attention.projection": "attn.proj",
    "norm2": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "norm": "norm",
    "conv": "patch_reduce",
    "class_linear": "token_transform",
}
_STEM_CONV = re.compile(r"stem\.(conv|bn)([123])\.(\w+)")
_FOREIGN = re.compile(r"GLOBAL ([\w.]*\w)")  # in torch's message: what a pickle refers to and may not
_AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict")  # where weights lie, the averaged ones first
_PLAIN = ("model", "state_dict", "model_state_dict")
_WRAPPERS = ("module.", "_orig_mod.", "model.")  # what DataParallel, torch.compile and trainers put before names
_MAX_SIDE = 4096  # tokens a side, when the image size is read off the position table


def import_checkpoint(path: Path, network_def: str = "", space: SearchSpace | None = None) -> Checkpoint:
    """Read a checkpoint that the reference saved for the network of `network_def`, or for the supernet of a space.

    `model_ema` is taken where it is there, else `model`, or what other trainers call the two. Image and patch size
    follow from the tensors; of a supernet the network follows from its space, and a `network_def` must agree with it.
    Nothing in the pickle is run (`weights_only=True`). Raise `BadInput` for a file that is no such checkpoint or of
    another network.
    """
    try:
        if not path.is_file():
            raise BadInput(f"a checkpoint must be a file, found {'a folder' if path.is_dir() else 'no file'}")
        check_archive(path)
        state, key = _state(_read(path))
        space = _fitted(space, state) if space else None
        subnet = space.widest() if space else _sized(network_def, state)
        _check_grid(subnet.arch)
        names = reference_names(subnet)
        _check(state, names, subnet, f"the supernet of the space {space.name}" if space else "the network_def")
        if space and network_def:
            _check_widest(_sized(network_def, state), space)
        tensors = {ours: _array(state[theirs]) for ours, theirs in names.items()}
        tensors |= {name: _array(state[name]) for name in ("patch_head.weight", "patch_head.bias") if name in state}
        source = f"imported from {path.name} ({key}), sha256 {file_digest(path)}"
        return Checkpoint(subnet.arch, tensors, Provenance(True, (source,)), space=space)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    except OSError as error:
        raise BadInput(f"{path} must be a readable file, found: {error.strerror or error}") from None


def reference_names(subnet: Subnet) -> dict[str, str]:
    """Our tensor names to the reference's. There, blocks and reductions share one index; dropped blocks count."""
    modules = _module_indices(subnet)
    names = {}
    for ours in tensor_shapes(subnet.arch):
        if ours in _STEM:
            names[ours] = _STEM[ours]
        elif match := _STEM_CONV.fullmatch(ours):
            names[ours] = f"patch_embed.conv{match[2]}.{match[1]}.{match[3]}"
        elif ours.startswith("head."):
            names[ours] = ours.replace("head.norm", "norm").replace("head.linear", "cls_head")
        else:
            element = next(name for name in modules if ours.startswith(f"{name}."))
            layer, _, tensor = ours.removeprefix(f"{element}.").rpartition(".")
            theirs = f"{_LAYERS[layer]}.{tensor}" if layer else "pos_embed"
            names[ours] = f"blocks.{modules[element]}.{theirs}"
    return names


def _module_indices(subnet: Subnet) -> dict[str, int]:
    """Return the index in the reference's `blocks` of every block and reduction of ours."""
    starts, positions = _stage_starts(subnet), block_positions(subnet)
    indices = {}
    for element in elements(subnet.arch):
        if isinstance(element, BlockElement):
            stage = int(element.name.removeprefix("stage").partition(".")[0])
            indices[element.name] = starts[stage - 1] + positions[element.name] - 1
        elif isinstance(element, ReductionElement):
            indices[element.name] = starts[int(element.name.removeprefix("reduction"))] - 1
    return indices


def _dropped_indices(subnet: Subnet) -> list[int]:
    starts = _stage_starts(subnet)
    return [
        start + offset
        for start, flags in zip(starts, subnet.kept, strict=True)
        for offset, kept in enumerate(flags)
        if not kept
    ]


def _stage_starts(subnet: Subnet) -> list[int]:
    """Return the index of each stage's first block; before each but the first there is a reduction."""
    starts = [0]
    for flags in subnet.kept[:-1]:
        starts.append(starts[-1] + len(flags) + 1)
    return starts


def _read(path: Path) -> object:
    import torch

    try:
        # A training script's options may lie beside the weights: plain values, which are read past.
        with warnings.catch_warnings(), torch.serialization.safe_globals(list(stand_ins())):
            warnings.simplefilter("ignore")  # torch on old formats; the file's content is checked below
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001  torch raises many kinds for foreign bytes; none of them is ours
        # Torch's own text is left out but for the name: it tells how to load the file without the protection.
        if isinstance(error, pickle.UnpicklingError) and (match := _FOREIGN.search(str(error))):
            raise BadInput(
                f"a checkpoint must hold tensors and plain data only, found a reference to {match[1][:80]}; "
                f"nothing in it was run; {SAVE}"
            ) from None
        if isinstance(error, pickle.UnpicklingError) and "Unsupported operand" in str(error):
            raise BadInput(
                "a checkpoint must be written with torch.save's own pickle_protocol (2), which its safe reader knows, "
                f"found another one, or damaged data; {SAVE}"
            ) from None
        raise BadInput(
            "a checkpoint must be a whole file written by torch.save, found damaged or other data "
            f"({type(error).__name__}); copy it again from where it came, or {SAVE}"
        ) from None


def _state(data: object) -> tuple[Mapping[str, torch.Tensor], str]:
    if isinstance(data, Mapping):
        for key in (*_AVERAGED, *_PLAIN):
            state = data.get(key)
            if isinstance(state, Mapping) and state:
                return _bare(_tensors(state, key)), key
        if data and all(map(_is_tensor, data.values())):
            return _bare(_tensors(data, "a state_dict")), "state_dict itself"
    found = f"the keys {_names(data)}" if isinstance(data, Mapping) else f"a {type(data).__name__}"
    raise BadInput(f"a checkpoint must be a dict with model or model_ema, found {found}; {SAVE}")


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _tensors(state: Mapping[Any, Any], key: str) -> Mapping[str, torch.Tensor]:
    """Return the same, once every entry is known to be a tensor with its values."""
    import torch

    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise BadInput(f"{key} must map names to tensors, found {shown(name)}: {type(value).__name__}; {SAVE}")
        if value.is_nested or value.layout is not torch.strided or value.device.type != "cpu":
            kind = "nested" if value.is_nested else f"{value.layout} on {value.device.type}"
            raise BadInput(f"{key} must hold dense tensors with their values, found {shown(name)} as {kind}")
    return state


def _bare(state: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """Return the tensors by the network's own names, without what wrappers of it put before all of them."""
    bare = {name: tensor for name, tensor in state.items() if name != "n_averaged"}  # torch's AveragedModel counts
    while prefix := next((prefix for prefix in _WRAPPERS if bare and all(n.startswith(prefix) for n in bare)), ""):
        bare = {name.removeprefix(prefix): tensor for name, tensor in bare.items()}
    return bare


def _names(data: Iterable[object]) -> str:
    """Return some keys for a message; one that is no text may be nested without an end."""
    return shortened(str(sorted(shortened(key, 40) if isinstance(key, str) else shown(key) for key in data)[:5]), 150)


def _sized(network_def: str, state: Mapping[str, torch.Tensor]) -> Subnet:
    """Return the network, with image and patch size read off the position table and the projection's kernel."""
    plain = "patch_embed.conv1.conv.weight" not in state
    projection, side = _patches(state)
    patch_size = projection.shape[2] * (1 if plain else 2)
    return parse_network_def(network_def, image_size=side * patch_size, patch_size=patch_size)


def _fitted(space: SearchSpace, state: Mapping[str, torch.Tensor]) -> SearchSpace:
    """Return the space with the image size of the position table, and the classes of the head.

    Whether all else fits is seen when the tensors are compared.
    """
    _, side = _patches(state)
    head = state.get("cls_head.weight")
    classes = head.shape[0] if head is not None and head.dim() == 2 and len(head) else space.classes
    return replace(space, classes=classes, image_size=side * space.patch_size)


def _check_grid(arch: ArchSpec) -> None:
    """Raise `BadInput` for a grid that the reference cannot reduce: its pooling drops what an odd side has last."""
    if arch.image_size % arch.last_cell:
        raise BadInput(
            f"image_size must be a multiple of {arch.last_cell} in a checkpoint of the reference, which halves even "
            f"grids alone, found {arch.image_size} by pos_embed"
        )


def _check_widest(subnet: Subnet, space: SearchSpace) -> None:
    """Raise `BadInput` where a supernet's `network_def` is not that of the widest subnet of its space, mixers aside."""
    found, wanted = _dimensions(subnet), _dimensions(space.widest())
    if found == wanted:
        return
    name = next(name for name in {**wanted, **found} if wanted.get(name) != found.get(name))
    raise BadInput(
        f"a supernet's network_def must be of the widest subnet of its space, {space.name}: "
        f"{name} must be {wanted.get(name, 'absent')}, found {found.get(name, 'none')}; it may be left out"
    )


def _dimensions(subnet: Subnet) -> dict[str, int]:
    """Return every dimension of a network by its place."""
    arch: ArchSpec = subnet.full
    found = {name: getattr(arch, name) for name in ("stem_mid_width", "patch_size", "image_size")}
    for number, (stage, kept) in enumerate(zip(arch.stages, subnet.kept, strict=True), start=1):
        found[f"the width of stage {number}"] = stage.width
        found[f"the number of blocks of stage {number}"] = sum(kept)
        for position, block in enumerate(stage.blocks, start=1):
            where = f"of block {position} of stage {number}"
            found |= {f"{name} {where}": getattr(block, name) for name in ("heads", "head_dim", "hidden")}
    return found | {"classes": arch.classes}


def _patches(state: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, int]:
    """Return the weight that makes patches, 4-D, and the tokens a side by the rows of the position table."""
    projection, table = state.get("patch_embed.conv_proj.weight"), state.get("pos_embed")
    if projection is None or projection.dim() != 4 or table is None or table.dim() != 3:
        raise BadInput(
            "a checkpoint of this family must have patch_embed.conv_proj.weight (4-D) and pos_embed (3-D), "
            f"found {_names(state)}"
        )
    side = round(max(table.shape[1] - 1, 0) ** 0.5)
    if side**2 + 1 != table.shape[1] or not 0 < side <= _MAX_SIDE:
        raise BadInput(f"pos_embed must have one row for the class token and a square of rows, found {table.shape[1]}")
    return projection, side


def _check(state: Mapping[str, torch.Tensor], names: Mapping[str, str], subnet: Subnet, whose: str) -> None:
    """Name the tensors that are not the network's in the reference's own words."""
    wanted = {names[ours]: shape for ours, shape in tensor_shapes(subnet.arch).items()}
    patch_head = patch_head_shapes(subnet.arch)
    if not patch_head.keys().isdisjoint(state):  # it is there whole or not at all
        wanted |= patch_head
    lines = []
    for theirs, shape in wanted.items():
        if theirs not in state:
            lines.append(f"{theirs} {shape} is missing")
        elif tuple(state[theirs].shape) != shape:
            lines.append(f"{theirs} must be {shape}, found {tuple(state[theirs].shape)}")
        elif not state[theirs].is_floating_point():
            lines.append(f"{theirs} must be floating point, found {state[theirs].dtype}")
    unused = tuple(f"blocks.{index}." for index in _dropped_indices(subnet))
    extra = [n for n in state if n not in wanted and not n.startswith(unused) and not n.endswith("num_batches_tracked")]
    lines += [f"{shown(n)} {tuple(state[n].shape)} is not of this network" for n in extra]
    if lines:
        raise BadInput(f"the tensors must be those of {whose}: {first_few(lines)}")


def _array(tensor: torch.Tensor) -> Array:
    array: Array = tensor.detach().resolve_neg().float().contiguous().numpy()
    return array
