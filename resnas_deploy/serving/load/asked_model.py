"""What a load test asks a server: a model of it, and images that the model takes."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import InferenceServerClient
from tritonclient.http import InferenceServerClient as HttpClient
from tritonclient.utils import InferenceServerException

from resnas_deploy.arch.elements import INPUT
from resnas_deploy.arch.inputs import INPUTS
from resnas_deploy.arch.spec import MAX_SIDE
from resnas_deploy.errors import BadInput, shown
from resnas_deploy.images.samples import noise
from resnas_deploy.serving.load.level import AskedModel
from resnas_deploy.serving.server.access import OperatorKey
from resnas_deploy.serving.server.addresses import Address


def find_model(address: Address, name: str, batch: int, key: OperatorKey | None = None) -> AskedModel:
    """Return a model of the server, the only network where none is named, and `batch` images of seeded noise for it.

    The statistics say which are ready: the list of models is of the repository's protocol, which is closed. Raise
    `BadInput` where the server does not answer, or has no such model, or it takes something else.
    """
    http = address.protocol == "http"
    headers = key.headers(address.protocol) if key else None
    client: Any = (
        HttpClient(address.text) if http else InferenceServerClient(address.text, channel_args=address.channel)
    )
    told = {"headers": headers} if http else {"headers": headers, "as_json": True}
    try:
        ready = sorted({entry["name"] for entry in client.get_inference_statistics(**told).get("model_stats", [])})
        taking = {}
        if name and name not in ready:
            raise BadInput(f"the model must be one that the server has ready ({', '.join(ready)}), found {shown(name)}")
        for each in [name] if name else ready:
            config = client.get_model_config(each, **told)
            config = config if http else config["config"]
            if [tensor["name"] for tensor in config["input"]] == [INPUT]:
                taking[each] = config
    except InferenceServerException as error:
        raise BadInput(f"a server must answer at {address.text}, found: {error.message()}") from None
    except OSError as error:  # of HTTP
        raise BadInput(f"a server must answer at {address.text}, found: {error.strerror or error}") from None
    finally:
        client.close()
    if len(taking) != 1:
        found = ", ".join(taking) or "none"
        raise BadInput(f"one network that takes {INPUT} must be meant, found {found}: name it by `model`")
    ((name, config),) = taking.items()
    most = int(config["max_batch_size"])
    if not 1 <= batch <= most:
        raise BadInput(f"the images of a request must be at most the model's {most}, found {batch}")
    given = config["input"][0]
    dims, type_ = tuple(int(size) for size in given["dims"]), given.get("data_type")
    sides = {name: dims[0] if kind.channels_last else dims[-1] for name, kind in INPUTS.items() if len(dims) == 3}
    fitting = [
        (kind, sides[name])
        for name, kind in INPUTS.items()
        if type_ == f"TYPE_{kind.triton}" and 0 < sides.get(name, 0) <= MAX_SIDE and kind.dims(sides[name]) == dims
    ]
    if not fitting:  # a server may say anything
        wanted = " or ".join(f"{kind.triton} {kind.letters}" for kind in INPUTS.values())
        raise BadInput(
            f"the model must take images of up to {MAX_SIDE} pixels a side, {wanted}, found {shown((type_, *dims))}"
        )
    ((kind, side),) = fitting
    images = noise(batch, side, kind)
    cached = bool(config.get("response_cache", {}).get("enable"))
    return AskedModel(address, name, images, cached, headers)
