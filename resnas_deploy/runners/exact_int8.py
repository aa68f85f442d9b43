"""Whether ONNX Runtime must be told to add int8 products exactly, which depends on the CPU.

Without VNNI, CPUs add products of uint8 and int8 in pairs of 16 bits, which overflow. ONNX Runtime's setting makes the
weights uint8, whose kernels have wider sums. It does so too where there is VNNI and no AMX
(https://github.com/microsoft/onnxruntime, core/mlas/lib/platform.cpp, `MlasPlatformU8S8Overflow`), where nothing
overflows: in a trial int8 then took 1.9 times as long, and gave the same logits. So it is tried.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from resnas_deploy.processes.quiet import import_quietly

EXACT_INT8 = "session.x64quantprecision"  # of a session of ONNX Runtime
# A graph: y = MatMulInteger(a, b), of uint8 and int8, opset 10. A test writes it by onnx, which no runner imports.
PRODUCT = (
    b'\x08\x04:>\n\x18\n\x01a\n\x01b\x12\x01y"\rMatMulInteger\x12\x01gZ\t\n\x01a\x12\x04\n\x02\x08\x02'
    b"Z\t\n\x01b\x12\x04\n\x02\x08\x03b\t\n\x01y\x12\x04\n\x02\x08\x06B\x04\n\x00\x10\n"
)
_ROWS, _WIDTH, _COLUMNS = 4, 64, 16  # which every kernel takes as a matrix


@cache
def exact_int8() -> str:
    """Return the setting's value for this CPU: `0` where the largest products add up as they must without it."""
    ort = import_quietly("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(PRODUCT, options, providers=["CPUExecutionProvider"])
    values, weights = np.full((_ROWS, _WIDTH), 255, np.uint8), np.full((_WIDTH, _COLUMNS), 127, np.int8)
    (sums,) = session.run(None, {"a": values, "b": weights})
    return "0" if (sums == 255 * 127 * _WIDTH).all() else "1"
