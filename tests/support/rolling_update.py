"""Many clients while a new version of a model comes in and the old one goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass

import numpy as np
from tritonclient.grpc import aio as grpc
from tritonclient.http import aio as http

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.artifact.artifact import open_artifact
from resnas_deploy.precision import relative_error, tolerance_of
from resnas_deploy.runners.base import Options
from resnas_deploy.runners.registry import RUNNERS
from resnas_deploy.serving.repository.contents import add_model
from resnas_deploy.serving.repository.settings import ModelSettings

IMAGES = 8  # different ones
_UNLOADED_WITHIN = 300  # seconds


@dataclass(frozen=True)
class Rolled:
    """What the clients saw."""

    answers: Counter  # by version of the network
    failed: list[str]
    wrong: int  # answers of neither version
    unloaded_after: float  # seconds from the latest request that the old version answered to when it was seen unloaded
    versions: list[str]  # that the server serves in the end


def logits(folder, images):
    """The artifact's own, one image at a time."""
    with RUNNERS["ort-cpu"].open(open_artifact(folder), Options(1)) as runner:
        return np.concatenate([runner.run(image[None])[OUTPUT] for image in images])


def roll(running, repository, name, old, new, clients, seconds):
    """Ask `name` from many clients, half of them over each protocol, while `new` joins `old`.

    For a third of so many seconds before, until the old version is unloaded, and for two thirds after.
    """
    size = open_artifact(old).arch.image_size
    images = np.random.default_rng(0).standard_normal((IMAGES, 3, size, size), dtype=np.float32)
    wanted = {"1": logits(old, images), "2": logits(new, images)}
    assert relative_error(wanted["1"], wanted["2"]) > 0.1  # or nobody could tell them apart
    return asyncio.run(_roll(running, repository, name, new, images, wanted, clients, seconds))


async def _roll(running, repository, name, new, images, wanted, clients, seconds):
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    answers, failed, wrong = Counter(), [], 0
    last_old = loop.time()

    async def client(module, connection, number):
        nonlocal wrong, last_old
        while not ended.is_set():
            which = number % IMAGES
            given = module.InferInput(INPUT, [1, *images.shape[1:]], "FP32")
            given.set_data_from_numpy(images[which : which + 1])
            asked = loop.time()
            try:
                found = (await connection.infer(name, [given])).as_numpy(OUTPUT)
            except Exception as error:  # noqa: BLE001  whatever it is, it is counted
                failed.append(str(error))
                continue
            near = [version for version, all_ in wanted.items() if is_near(found, all_[which : which + 1])]
            if not near:
                wrong += 1
            for version in near:
                answers[version] += 1
            if near == ["1"]:
                last_old = max(last_old, asked)
            number += 1

    connections = {module: module.InferenceServerClient(address) for module, address in asking(running).items()}
    try:
        tasks = [
            asyncio.create_task(client(module, connection, number))
            for module, connection in connections.items()
            for number in range(clients // len(connections))
        ]
        await asyncio.sleep(seconds / 3)
        await asyncio.to_thread(add_model, repository, open_artifact(new), ModelSettings(name))
        async with asyncio.timeout(_UNLOADED_WITHIN):
            while (await connections[http].get_model_metadata(name))["versions"] != ["2"]:
                await asyncio.sleep(0.1)
        unloaded = loop.time()
        await asyncio.sleep(seconds * 2 / 3)
        ended.set()
        await asyncio.gather(*tasks)
        metadata = await connections[http].get_model_metadata(name)
    finally:
        ended.set()
        for connection in connections.values():
            await connection.close()
    return Rolled(answers, failed, wrong, unloaded - last_old, metadata["versions"])


def is_near(found, wanted):
    return relative_error(found, wanted) <= tolerance_of("fp32")


def asking(running):
    """A client module of each protocol, and where it asks."""
    return {grpc: running.grpc, http: running.http}
