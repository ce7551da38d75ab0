"""Sessions of onnxruntime on the CPU."""

from typing import Any

import torch

from facemargin.errors import CheckpointError

_ONLY_ERRORS = 4  # onnxruntime's own warnings concern no user of ours


def open_session(source: str | bytes, name: str) -> Any:
    """The session of a file or of its content, with the threads that torch has; CheckpointError, naming `name`, where
    it cannot be read.

    Its threads sleep while they wait for each other. By default they spin, and where another program needs a core, two
    spinning threads are slower than one (benchmarks/results/sface.md).
    """
    import onnxruntime  # slow to import

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ONLY_ERRORS
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        described = [*session.get_inputs(), *session.get_outputs()]
        repr([(entry.name, entry.type, entry.shape) for entry in described])  # what is no text in it fails here
    except Exception as error:  # onnxruntime has a dozen types of its own
        raise CheckpointError(f"{name} cannot be read as an ONNX model: {error}") from error
    return session
