"""`config.pbtxt`: Triton's model configuration of a network, of its preprocessing, and of the two together.

The fields are those of Triton's `model_config.proto`, whose classes come with tritonclient: what is written parses.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from resnas_deploy.arch.elements import INPUT, OUTPUT
from resnas_deploy.arch.inputs import InputKind, input_named
from resnas_deploy.artifact.artifact import MODEL
from resnas_deploy.artifact.manifest import Manifest
from resnas_deploy.errors import BadInput, shortened, shown
from resnas_deploy.runners.tf32 import FP32, OVERRIDE
from resnas_deploy.serving.repository.settings import ENSEMBLE, PREPROCESS, ModelSettings

CONFIG, LABELS, PLAN = "config.pbtxt", "labels.txt", "model.plan"
IMAGE_FILE = "image"  # the ensemble's input: the bytes of an image file
ModelConfig = Any  # pb.ModelConfig: protobuf makes its classes as it is imported, without types
_WARM_UPS = 3  # runs of each warm-up batch before a model is ready


def network_config(manifest: Manifest, settings: ModelSettings) -> ModelConfig:
    """Return the configuration of the network itself: images, as its graph takes them, to logits `(B, classes)`."""
    most, size = settings.largest_batch(manifest.batch), manifest.arch.image_size
    config = _config(settings.name, settings.backend, most, settings)
    kind = input_named(manifest.input)
    config.input.add(name=INPUT, data_type=data_type(kind), dims=kind.dims(size))
    config.output.add(name=OUTPUT, data_type=pb.TYPE_FP32, dims=[manifest.arch.classes])
    if manifest.class_names:
        config.output[0].label_filename = LABELS
    for batch in dict.fromkeys((1, most)):
        warm = config.model_warmup.add(name=f"batch {batch}", batch_size=batch, count=_WARM_UPS)
        warm.inputs[INPUT].data_type = data_type(kind)
        warm.inputs[INPUT].dims.extend(kind.dims(size))
        warm.inputs[INPUT].random_data = True
    if settings.cache:
        config.response_cache.enable = True
    if settings.backend == "tensorrt":
        config.default_model_filename = PLAN
        return config
    config.parameters["intra_op_thread_count"].string_value = str(settings.threads)
    if settings.backend == "onnxruntime":
        config.default_model_filename = MODEL
        _accelerate(config, settings, manifest)
    return config


def tf32_notes(manifest: Manifest, settings: ModelSettings) -> list[str]:
    """Say, a line each, where a server would round float32 to TF32 and its configuration cannot say otherwise."""
    if settings.accelerator != "tensorrt" or manifest.type != FP32:
        return []
    return [
        f"{settings.name} is float32, which the accelerator tensorrt rounds to TF32; start the server with "
        f"{OVERRIDE}=0 in its environment, or use the accelerator cuda, which does not"
    ]


def preprocess_config(manifest: Manifest, settings: ModelSettings) -> ModelConfig:
    """Return the configuration of what decodes and prepares image files, one at a time, on the CPU."""
    most, size = settings.largest_batch(manifest.batch), manifest.arch.image_size
    config = _config(settings.name + PREPROCESS, "python", most, settings, on_gpu=False)
    config.ClearField("dynamic_batching")  # requests gain nothing from each other here
    config.version_policy.CopyFrom(_policy("latest:1"))
    config.input.add(name=IMAGE_FILE, data_type=pb.TYPE_STRING, dims=[1])
    kind = input_named(manifest.input)
    config.output.add(name=INPUT, data_type=data_type(kind), dims=kind.dims(size))
    return config


def ensemble_config(manifest: Manifest, settings: ModelSettings) -> ModelConfig:
    """Return the configuration of preprocessing and network in a row: image files `(B, 1)` to logits `(B, classes)`."""
    config = pb.ModelConfig(
        name=settings.name + ENSEMBLE, platform="ensemble", max_batch_size=settings.largest_batch(manifest.batch)
    )
    config.version_policy.CopyFrom(_policy("latest:1"))
    config.input.add(name=IMAGE_FILE, data_type=pb.TYPE_STRING, dims=[1])
    config.output.add(name=OUTPUT, data_type=pb.TYPE_FP32, dims=[manifest.arch.classes])
    if manifest.class_names:
        config.output[0].label_filename = LABELS
    for name, source, result in (
        (settings.name + PREPROCESS, IMAGE_FILE, INPUT),
        (settings.name, INPUT, OUTPUT),
    ):
        step = config.ensemble_scheduling.step.add(model_name=name, model_version=-1)
        step.input_map[source] = source
        step.output_map[result] = result
    return config


def data_type(kind: InputKind) -> int:
    """Return what `model_config.proto` calls the type of an input."""
    return int(pb.DataType.Value(f"TYPE_{kind.triton}"))


def config_text(config: ModelConfig) -> str:
    """Return the text of `config.pbtxt`."""
    return str(text_format.MessageToString(config))


def parse(text: str, name: str) -> ModelConfig:
    """Read `config.pbtxt` strictly. Raise `BadInput` for an unknown field, a wrong type or a syntax error."""
    try:
        return text_format.Parse(text, pb.ModelConfig())
    except text_format.ParseError as error:
        reason = shortened(" ".join(str(error).split()), 200)
        raise BadInput(f"{name} must be a model configuration of Triton's, found at line:column {reason}") from None
    except RecursionError:
        raise BadInput(f"{name} must be a model configuration of Triton's, found it nested too deeply") from None
    except Exception as error:  # noqa: BLE001  of what protobuf's parser lets through: numbers and texts of the wrong kind
        raise BadInput(f"{name} must be a model configuration of Triton's, found {shown(str(error), 200)}") from None


def _config(name: str, backend: str, most: int, settings: ModelSettings, on_gpu: bool | None = None) -> ModelConfig:
    on_gpu = settings.on_gpu if on_gpu is None else on_gpu
    config = pb.ModelConfig(name=name, backend=backend, max_batch_size=most)
    config.version_policy.CopyFrom(_policy(settings.versions))
    kind = pb.ModelInstanceGroup.KIND_GPU if on_gpu else pb.ModelInstanceGroup.KIND_CPU
    config.instance_group.add(kind=kind, count=settings.instances)
    config.dynamic_batching.preferred_batch_size.extend(size for size in settings.batching.preferred if size <= most)
    config.dynamic_batching.max_queue_delay_microseconds = settings.batching.queue_delay_us
    return config


def _policy(versions: str) -> Any:
    policy = pb.ModelVersionPolicy()
    kind, _, count = versions.partition(":")
    if kind == "all":
        policy.all.SetInParent()
    elif kind == "latest":
        policy.latest.num_versions = int(count)
    else:
        policy.specific.versions.extend(map(int, versions.split(",")))
    return policy


def _accelerate(config: ModelConfig, settings: ModelSettings, manifest: Manifest) -> None:
    """Set execution providers of the onnxruntime backend (its README, "Model Config Options").

    Whatever is asked for, it adds CUDA's on a GPU, with what stands under `cuda` as the provider's options: float32 is
    rounded to TF32 there unless `use_tf32` is 0. TensorRT's provider has no such option, and the backend refuses others
    than its README lists (src/onnxruntime.cc of triton-inference-server/onnxruntime_backend): `tf32_notes` says so.
    """
    accelerators = config.optimization.execution_accelerators
    if settings.accelerator == "tensorrt":
        chosen = accelerators.gpu_execution_accelerator.add(name="tensorrt")
        if manifest.precision == "fp16":
            chosen.parameters["precision_mode"] = "FP16"
    if settings.on_gpu and (settings.accelerator == "cuda" or manifest.type == FP32):
        chosen = accelerators.gpu_execution_accelerator.add(name="cuda")
        if manifest.type == FP32:
            chosen.parameters["use_tf32"] = "0"
    if settings.accelerator == "openvino":
        accelerators.cpu_execution_accelerator.add(name="openvino")
