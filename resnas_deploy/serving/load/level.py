"""One level of a load test: how many requests a server answers, and how long they wait, at a concurrency or a rate.

At a rate, a request's latency counts from when it was due and not from when it was sent: a server that falls behind
does not thereby look faster (Tene, "How NOT to Measure Latency", on coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.arch.inputs import input_named
from resnas_deploy.errors import BadInput
from resnas_deploy.images.preprocessing import Inputs
from resnas_deploy.serving.server.addresses import Address

_TIMEOUT_S = 60.0  # of one request
_GIVE_UP = 50  # failures with no answer between them: the server is gone
_MOST_AT_ONCE, _FASTEST = 4096, 1e6
_DRAIN_S = 10.0  # how long requests that were due may still take when the time is over
Ask = Callable[[float], Awaitable[None]]  # a request that was due at that moment


@dataclass(frozen=True)
class Level:
    """How hard the server is driven: so many requests at any moment, or so many a second. Raises `BadInput`."""

    concurrency: int = 0
    rate: float = 0.0

    def __post_init__(self) -> None:
        if not (self.rate or 1 <= self.concurrency <= _MOST_AT_ONCE):
            raise BadInput(
                f"`concurrencies` must be numbers from 1 to {_MOST_AT_ONCE} such as 1,8,32, found {self.concurrency}"
            )
        if not self.concurrency and not 0 < self.rate <= _FASTEST:
            raise BadInput(f"`rates` must be more than 0 and at most {_FASTEST:g} requests/s, found {self.rate:g}")

    def __str__(self) -> str:
        return f"{self.concurrency} at once" if self.concurrency else f"{self.rate:g} requests/s"


@dataclass(frozen=True)
class ServerStatistics:
    """The server's own statistics of a while (the statistics extension of its protocol)."""

    inferences: int
    executions: int
    queue_us: float  # mean of a request
    compute_us: float  # mean of a request: input, network and output
    batches: Mapping[int, int] = field(default_factory=dict)  # executions by batch size

    @property
    def mean_batch(self) -> float:
        """Inferences by execution."""
        return self.inferences / self.executions if self.executions else 0.0


@dataclass(frozen=True)
class LevelResult:
    """What came of one level."""

    level: Level
    protocol: str
    images: int  # of each request
    seconds: float
    latencies_s: tuple[float, ...]  # of the requests that were answered
    failures: tuple[str, ...]  # what the others were told
    late_ms: float  # how late 1% of the requests left, or more: the load generator's own delay, part of the latency
    server: ServerStatistics | None  # None: it no longer answered when the level was over
    image_bytes: int = 0  # of the images of each request, without what the protocol puts around them

    def percentile_ms(self, share: float) -> float:
        """Return the milliseconds within which that percentage of the answers came."""
        return 1e3 * float(np.percentile(self.latencies_s, share)) if self.latencies_s else float("inf")

    @property
    def requests_per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.seconds


@dataclass(frozen=True)
class AskedModel:
    """What is asked: a model, a batch of images, and the server."""

    address: Address
    name: str
    images: Inputs  # as the model takes them, the same in every request
    cached: bool = False  # whether the server keeps answers: then only the first request is computed
    headers: Mapping[str, str] | None = field(default=None, repr=False)  # the operator's key


def run_level(model: AskedModel, level: Level, seconds: float, rng: np.random.Generator) -> LevelResult:
    """Drive a server at one level for a while. Raise `BadInput` where it does not answer at all."""
    course = _run(model, level, seconds, rng)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(course)
    with ThreadPoolExecutor(1) as pool:  # this thread has a loop that runs, as in a notebook
        return pool.submit(asyncio.run, course).result()


async def _run(model: AskedModel, level: Level, seconds: float, rng: np.random.Generator) -> LevelResult:
    module = _module(model.address.protocol)
    own = {"channel_args": model.address.channel} if model.address.protocol == "grpc" else {}
    client = module.InferenceServerClient(model.address.text, **own)
    given = module.InferInput(INPUT, list(model.images.shape), input_named(model.images.dtype.name).triton)
    given.set_data_from_numpy(model.images)
    wanted = [module.InferRequestedOutput(OUTPUT)]
    limit: dict[str, Any] = {"headers": model.headers}
    limit |= {"client_timeout": _TIMEOUT_S} if model.address.protocol == "grpc" else {"timeout": int(1e6 * _TIMEOUT_S)}
    latencies, delays, failures = list[float](), list[float](), list[str]()
    in_a_row = 0

    async def ask(due: float) -> None:
        nonlocal in_a_row
        delays.append(time.perf_counter() - due)
        try:
            await client.infer(model.name, [given], outputs=wanted, **limit)
        except Exception as error:  # noqa: BLE001  each of the two clients lets several libraries' errors through
            failures.append(_words(error))
            in_a_row += 1
        else:
            latencies.append(time.perf_counter() - due)
            in_a_row = 0

    def is_gone() -> bool:
        return in_a_row >= _GIVE_UP

    try:
        try:
            await client.infer(model.name, [given], outputs=wanted, **limit)  # opens the connection
            before = await _statistics(client, model)
        except Exception as error:  # noqa: BLE001  as above
            raise BadInput(f"a server must answer at {model.address.text}, found: {_words(error)}") from None
        started = time.perf_counter()
        if level.concurrency:
            await _at_once(ask, level.concurrency, started + seconds, is_gone)
        else:
            await _at_rate(ask, level.rate, started, seconds, rng, is_gone)
        took = time.perf_counter() - started
        try:
            server = _between(before, await _statistics(client, model))
        except Exception:  # noqa: BLE001  as above; what was measured until then is kept
            server = None
    finally:
        await client.close()
    return LevelResult(
        level=level,
        protocol=model.address.protocol,
        images=len(model.images),
        seconds=took,
        latencies_s=tuple(latencies),
        failures=tuple(failures),
        late_ms=1e3 * float(np.percentile(delays, 99)) if delays else 0.0,
        server=server,
        image_bytes=model.images.nbytes,
    )


async def _at_once(ask: Ask, concurrency: int, until: float, is_gone: Callable[[], bool]) -> None:
    async def one_after_another() -> None:
        while (now := time.perf_counter()) < until and not is_gone():
            await ask(now)

    await asyncio.gather(*(one_after_another() for _ in range(concurrency)))


async def _at_rate(
    ask: Ask, rate: float, started: float, seconds: float, rng: np.random.Generator, is_gone: Callable[[], bool]
) -> None:
    """Send requests that come independently of each other, and of the answers: a Poisson process."""
    tasks, due = set[asyncio.Task[None]](), started
    while not is_gone():
        due += float(rng.exponential(1 / rate))
        if due > started + seconds:
            break
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        task = asyncio.ensure_future(ask(due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    if tasks:
        _, late = await asyncio.wait(tasks, timeout=_DRAIN_S)
        for task in late:
            task.cancel()


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _module(protocol: str) -> Any:
    if protocol == "grpc":
        from tritonclient.grpc import aio
    else:
        from tritonclient.http import aio
    return aio


async def _statistics(client: Any, model: AskedModel) -> Mapping[str, Any]:
    """Return the server's counters of the model, summed over its versions."""
    options: dict[str, Any] = {"as_json": True} if model.address.protocol == "grpc" else {}
    found = await client.get_inference_statistics(model.name, headers=model.headers, **options)
    total: dict[str, Any] = {"inference": 0, "execution": 0, "queue": 0, "compute": 0, "success": 0, "batches": {}}
    for counted in found.get("model_stats", []):
        stats = counted.get("inference_stats", {})
        total["inference"] += int(counted.get("inference_count", 0))
        total["execution"] += int(counted.get("execution_count", 0))
        total["success"] += int(stats.get("success", {}).get("count", 0))
        total["queue"] += int(stats.get("queue", {}).get("ns", 0))
        total["compute"] += sum(
            int(stats.get(name, {}).get("ns", 0)) for name in ("compute_input", "compute_infer", "compute_output")
        )
        for batch in counted.get("batch_stats", []):
            size = int(batch["batch_size"])
            total["batches"][size] = total["batches"].get(size, 0) + int(batch["compute_infer"]["count"])
    return total


def _between(before: Mapping[str, Any], after: Mapping[str, Any]) -> ServerStatistics:
    answered = max(after["success"] - before["success"], 1)
    batches = {size: count - before["batches"].get(size, 0) for size, count in sorted(after["batches"].items())}
    return ServerStatistics(
        inferences=after["inference"] - before["inference"],
        executions=after["execution"] - before["execution"],
        queue_us=(after["queue"] - before["queue"]) / answered / 1e3,
        compute_us=(after["compute"] - before["compute"]) / answered / 1e3,
        batches={size: count for size, count in batches.items() if count},
    )
