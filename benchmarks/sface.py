"""Embedding faces with SFace on the CPU: facemargin's rebuilt network beside onnxruntime and OpenCV.

What an image costs: the rebuilt network in batches and one at a time; the graph in onnxruntime, which its fixed batch
gives one image at a time, with its weights turned into float32 once, or at every run as the file stands; and OpenCV's
FaceRecognizerSF, which refuses the file and runs the graph with float32 weights. Time by the clock depends on what else
runs; time of the processor, of all threads, hardly does.

Shapes: B images, C colours, H × W pixels.
"""

import platform
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from measure import interleaved, machine, ratio

import facemargin as fm
from facemargin.interop.onnx_graph import compute_constants, read_graph, remove_false_inputs
from facemargin.interop.onnx_session import open_session
from facemargin.interop.released import released_file

BATCH = 16
THREADS = 2


def main() -> None:
    torch.set_num_threads(THREADS)
    cv2.setNumThreads(THREADS)
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, OpenCV {cv2.__version__}"
    print(f"{machine()}; {THREADS} threads; {versions}, Python {platform.python_version()}; {BATCH} images of noise")
    images = list(np.random.default_rng(0).integers(0, 256, (BATCH, 112, 112, 3), dtype=np.uint8))
    raw = [image.transpose(2, 0, 1)[None].astype(np.float32) for image in images]
    model = fm.load("sface", "cpu")
    graph = read_graph(released_file("sface"))
    remove_false_inputs(graph)
    as_it_stands = open_session(graph.SerializeToString(), "sface")
    compute_constants(graph)
    remove_false_inputs(graph)
    content = graph.SerializeToString()
    spinning = onnxruntime.SessionOptions()
    spinning.intra_op_num_threads = THREADS
    dequantized, spins = open_session(content, "sface"), onnxruntime.InferenceSession(content, spinning)
    run = lambda session: [session.run(None, {"data": image}) for image in raw]  # noqa: E731
    functions = {
        "facemargin": lambda: model.embed(images, views="one"),
        "facemargin, one at a time": lambda: [model.embed([image], views="one") for image in images],
        "onnxruntime, float32 weights": lambda: run(dequantized),
        "onnxruntime, float32 weights, its threads spin": lambda: run(spins),
        "onnxruntime, as the file stands": lambda: run(as_it_stands),
    }
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(graph, str(Path(folder) / "sface.onnx"))
        try:
            opencv = cv2.FaceRecognizerSF.create(str(Path(folder) / "sface.onnx"), "")
            opencv.feature(images[0])
            functions["OpenCV FaceRecognizerSF, float32 weights"] = lambda: [opencv.feature(image) for image in images]
        except cv2.error as error:
            print(f"OpenCV's FaceRecognizerSF does not run the graph with float32 weights: {error}")
    for title, clock in (("by the clock", time.perf_counter), ("of the processor", time.process_time)):
        print(f"\nms an image {title}, and how many times facemargin's (quartiles)\n")
        seconds = interleaved(functions, clock=clock)
        for name in functions:
            per_image = np.median(seconds[name]) / BATCH
            middle, low, high = ratio(seconds[name], seconds["facemargin"])
            print(f"{name:50} {per_image * 1e3:7.1f} {middle:6.2f} ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
