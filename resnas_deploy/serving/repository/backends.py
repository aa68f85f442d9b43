"""What may run a network in Triton; apart, so that the command line knows it without what serving imports."""

BACKENDS = ("python", "onnxruntime", "tensorrt")
ACCELERATORS = ("tensorrt", "cuda", "openvino")  # execution providers of the onnxruntime backend
