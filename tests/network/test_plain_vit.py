"""DeiT where transformers is not installed: a module of ours that computes what theirs does."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import torch
from support.checks import assert_close
from support.little_peers import LITTLE

from resnas_deploy.batch import BatchRange
from resnas_deploy.measuring import peers
from resnas_deploy.measuring.peer_specs import PEERS
from resnas_deploy.measuring.peers import open_peer
from resnas_deploy.network.plain_vit import PlainViT
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS


def logits(peer, runner, images):
    with RUNNERS[runner].open(peer, Options(threads=2)) as running:
        return running.run(images)["logits"]


def test_deit_needs_no_transformers_and_computes_what_theirs_does(monkeypatch):
    """The weights of one in the other: the same logits. And it has the published parameters."""
    spec = LITTLE["deit-tiny"]
    theirs = peers._build(spec).eval()
    monkeypatch.setattr(peers, "is_plain", lambda spec: spec.family == "vit")
    with open_peer("deit-tiny", "fp32", specs=LITTLE, batch=BatchRange(1, 256)) as peer:
        plain = peer.module()
        assert 256 in peer.batch
    own, given = plain.state_dict(), theirs.state_dict()
    for name in own:
        own[name] = _of_theirs(name, given)
    plain.load_state_dict(own)
    images = np.random.default_rng(3).standard_normal((3, 3, 64, 64), np.float32)
    with torch.inference_mode():
        wanted = theirs(pixel_values=torch.from_numpy(images)).logits.numpy()
        assert_close(plain(torch.from_numpy(images)).numpy(), wanted, 1e-5 * np.abs(wanted).max(), "plain")
    with open_peer("deit-tiny", "fp32", specs=LITTLE) as peer:  # its graph takes any batch too
        assert_close(logits(peer, "ort-cpu", images), logits(peer, "torch", images), 1e-5, "traced")
    with torch.device("meta"):
        base = PlainViT(PEERS["deit-base"].config, 224, 1000)
    assert sum(value.numel() for value in base.parameters()) == PEERS["deit-base"].parameters


def test_without_transformers_deit_and_pit_run_on_pytorch_alone():
    """In a process in which neither of the packages can be imported; the graph says what is missing."""
    program = (
        "import sys, numpy as np\n"
        "sys.modules['transformers'] = sys.modules['onnxscript'] = None\n"
        "import importlib.util\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: (\n"
        "    None if name in ('transformers', 'onnxscript') else found(name, *rest))\n"
        "from resnas_deploy.measuring.peers import open_peer\n"
        "from resnas_deploy.runners.base import Options\n"
        "from resnas_deploy.runners.registry import RUNNERS\n"
        "with open_peer('pit-tiny', 'fp32') as peer:\n"
        "    with RUNNERS['torch'].open(peer, Options(threads=1)) as runner:\n"
        "        print(runner.run(np.zeros((1, 3, 224, 224), np.float32))['logits'].shape)\n"
        "with open_peer('deit-tiny', 'fp32') as peer:\n"
        "    with RUNNERS['torch'].open(peer, Options(threads=1)) as runner:\n"
        "        print(runner.run(np.zeros((1, 3, 224, 224), np.float32))['logits'].shape)\n"
        "    try:\n"
        "        peer.model\n"
        "    except ImportError as error:\n"
        "        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    *shapes, said = done.stdout.splitlines()
    assert shapes == ["(1, 1000)"] * 2
    assert "are missing: onnxscript; install it with: pip install onnxscript" in said


def _of_theirs(name, given):
    """The tensor of transformers' ViT that belongs to a name of ours; the spelling of theirs varies by version."""
    ends = {
        "class_token": ("cls_token",),
        "position": ("position_embeddings",),
        "patches": ("patch_embeddings.projection",),
        "head": ("classifier",),
        "norm1": ("layernorm_before",),
        "norm2": ("layernorm_after",),
        "qkv": ("q_proj", "k_proj", "v_proj"),
        "projection": ("o_proj",),
        "fc1": ("mlp.fc1",),
        "fc2": ("mlp.fc2",),
    }
    older = {"q_proj": "attention.query", "k_proj": "attention.key", "v_proj": "attention.value"}
    older |= {"o_proj": "attention.output.dense", "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense"}
    parts = name.split(".")
    kind = parts[-1] if parts[-1] in ("weight", "bias") else ""
    if parts[0] == "norm":
        wanted, block = ("vit.layernorm",), None
    else:
        block = int(parts[1]) if parts[0] == "blocks" else None
        wanted = ends[parts[2] if parts[0] == "blocks" else parts[0]]

    def one(end):
        for each in (end, older.get(end)):
            full = f"{each}.{kind}" if kind else each
            found = [
                key
                for key in given
                if (key == full or key.endswith(f".{full}"))
                and (block is None or re.search(rf"(layer|layers)\.{block}\.", key))
                and not (each == "output.dense" and "attention.output" in key)
            ]
            if len(found) == 1:
                return given[found[0]]
        raise AssertionError((name, end, sorted(given)))

    return torch.cat([one(end) for end in wanted])
