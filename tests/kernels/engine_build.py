"""A program: what TensorRT does with the plugin while it builds an engine, up to the C++ half. Prints JSON.

The Python half of the bindings (`tensorrt.plugin`, from the wheel's own sources) is real. Its C++ half needs libraries
that are not here; of that, the few classes that the sources touch are stood in for, with symbolic dimensions that know
their value. So this can show a wrong name, signature or expression, and not how an engine runs.
"""

from __future__ import annotations

import enum
import importlib.util
import json
import sys
import types
from pathlib import Path

BATCH, SIDE, WIDTH, OUT_WIDTH, CAPABILITY = 3, 8, 20, 36, 89


class Dimension:
    """`IDimensionExpr`: the batch alone is not constant."""

    def __init__(self, value, constant=True):
        self.value, self.constant = value, constant

    def is_constant(self):
        return self.constant

    def get_constant_value(self):
        assert self.constant
        return self.value


class ExpressionBuilder:
    """`IExprBuilder`."""

    def constant(self, value):
        return Dimension(value)

    def operation(self, operation, first, second):
        value = {"SUM": first.value + second.value, "PROD": first.value * second.value}[operation]
        return Dimension(value, first.constant and second.constant)


class Plain:
    """Any class of C++ that the sources derive from, or fill with attributes."""

    MAX_DIMS = 8

    def __init__(self, *values):
        self.values = values


class Sizes(list):
    """`Dims` and `DimsExprs`, of that many dimensions or of these."""

    MAX_DIMS = 8

    def __init__(self, values=0):
        super().__init__([None] * values if isinstance(values, int) else values)


class Interface:
    """An interface of C++ that takes part in multiple inheritance."""


def stand_in(folder):
    """A module `tensorrt` whose submodule `plugin` is the wheel's."""
    module = types.ModuleType("tensorrt")
    module.__path__ = [str(folder)]
    for name in ("IPluginV3", "IPluginV3QuickCore", "IPluginV3QuickBuild", "IPluginV3QuickRuntime"):
        setattr(module, name, type(name, (Interface,), {}))
    for name in ("IPluginV3QuickAOTBuild", "IPluginCreatorV3Quick", "QuickPluginCreationRequest", "ITensor"):
        setattr(module, name, type(name, (Interface,), {}))
    for name in ("PluginField", "PluginFieldCollection", "PluginTensorDesc", "DynamicPluginTensorDesc", "ISymExpr"):
        setattr(module, name, type(name, (Plain,), {}))
    module.Dims = module.DimsExprs = Sizes
    module.IDimensionExpr, module.IExprBuilder = Dimension, ExpressionBuilder
    module.Logger = type("Logger", (), {"WARNING": 2, "log": lambda *_: None})
    fields = "INT32 INT16 INT8 INT64 FLOAT32 FLOAT64 FLOAT16 CHAR UNKNOWN"
    module.PluginFieldType = enum.Enum("PluginFieldType", fields)
    module.PluginArgType = enum.Enum("PluginArgType", "INT")
    module.PluginArgDataType = enum.Enum("PluginArgDataType", "INT8 INT16 INT32")
    module.DataType = enum.Enum("DataType", "FLOAT HALF BF16 INT8 INT4 FP8 INT32")
    module.int32 = module.DataType.INT32
    module.TensorFormat = enum.Enum("TensorFormat", "LINEAR CHW2")
    operations = ("SUM", "PROD", "SUB", "FLOOR_DIV", "CEIL_DIV", "MAX", "MIN", "EQUAL", "LESS")
    module.DimensionOperation = types.SimpleNamespace(**{name: name for name in operations})
    return module


def described(trt, dimensions, dtype):
    """What TensorRT tells of one tensor: -1 is the dynamic batch."""
    tensor, dynamic = trt.PluginTensorDesc(), trt.DynamicPluginTensorDesc()
    tensor.dims, tensor.type, tensor.format, tensor.scale = dimensions, dtype, trt.TensorFormat.LINEAR, 1.0
    dynamic.desc = tensor
    return dynamic


def main():
    folder = Path(importlib.util.find_spec("tensorrt_bindings").origin).parent
    trt = sys.modules["tensorrt"] = stand_in(folder)
    from resnas_deploy.kernels import plugin

    plugin.register(CAPABILITY, lazy=True)
    from tensorrt.plugin._lib import QDP_REGISTRY
    from tensorrt.plugin._plugin_class import _TemplateAOTPlugin

    definition = QDP_REGISTRY[plugin.PLUGIN]
    built = _TemplateAOTPlugin(*reversed(plugin.PLUGIN.split("::")), definition.num_outputs)
    built.init(
        definition.register_func,
        {},
        definition.aot_impl_attr_names,
        definition.aot_impl_func,
        definition.autotune_attr_names,
        definition.autotune_func,
    )
    out_tokens = 1 + SIDE**2 // 4
    shapes = [
        (BATCH, 1 + SIDE**2, WIDTH),
        (BATCH, 1, OUT_WIDTH),
        (BATCH, out_tokens - 1, OUT_WIDTH),
        (1, out_tokens, OUT_WIDTH),
    ]
    symbolic = [[Dimension(size, place > 0 or size == 1) for place, size in enumerate(shape)] for shape in shapes]
    half, builder = trt.DataType.HALF, ExpressionBuilder()
    types_out = built.get_output_data_types([half] * 4, [3] * 4)
    out = built.get_output_shapes(symbolic, [], builder)
    known = [described(trt, (-1, *shape[1:]) if shape[0] == BATCH else shape, half) for shape in shapes]
    known += [described(trt, (-1, out_tokens, OUT_WIDTH), half) for _ in out]
    combinations = built.get_supported_format_combinations(known, 4)
    built.configure_plugin(known[:4], known[4:])
    built.set_tactic(0)
    launch, extras = types.SimpleNamespace(), Plain()
    built.get_launch_params(None, known, 4, launch, extras, builder)
    name, ptx = built.get_kernel([tensor.desc for tensor in known[:4]], [tensor.desc for tensor in known[4:]])
    result = {
        "inputs": definition.input_tensor_names,
        "types": [dtype.name for dtype in types_out],
        "shapes": [[size.value for size in shape] for shape in out],
        "dynamic": [[not size.is_constant() for size in shape] for shape in out],
        "combinations": [[desc.type.name, desc.format.name] for desc in combinations],
        "tactics": built.get_valid_tactics(),
        "launch": {key: value.expr.value for key, value in vars(launch).items()},
        "extras": extras.nbSymExprs,
        "name": name,
        "ptx": ptx.decode(),
    }
    print(json.dumps(result))  # noqa: T201  # what the test reads


main()
