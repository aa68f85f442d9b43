"""`tensorrt` for a process that has this folder's parent on its path: the documented doubles, builder and runtime.

DOCUMENTED_TENSORRT is its version, 11.4.0.106 where it is not set; its machine has one GPU.
"""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[3]))  # tests, where `support` is

from support.documented import tensorrt_builder, tensorrt_runtime

_machine = tensorrt_runtime.Machine(version=os.environ.get("DOCUMENTED_TENSORRT", "11.4.0.106"))
globals().update(
    {name: value for name, value in vars(tensorrt_runtime.as_module(_machine)).items() if not name.startswith("__")}
)
globals().update(tensorrt_builder.names(_machine.version))
__version__ = _machine.version
