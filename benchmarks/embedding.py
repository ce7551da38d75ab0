"""Embedding faces on the CPU: ours against plain eager float32 and onnxruntime.

Claim: what `Model.embed` runs, batch norms folded and channels last, in bf16 where the processor has it, takes at most
1/1.6 of the time of the same network called as it is, in float32.

Shapes: B images, C colours, H × W pixels.
"""

import platform
import sys

import onnxruntime
import torch
from measure import interleaved, machine, ratio

from facemargin.backbones import create_backbone
from facemargin.backbones.precision import computes_bf16
from facemargin.export.onnx_graph import onnx_graph
from facemargin.models.fast import folded_recognizer
from facemargin.models.info import ModelInfo
from facemargin.models.recognizer import Recognizer

BACKBONES = ("ir_18", "ir_50")
BATCHES = (16, 64)
THREADS = 2


def main() -> None:
    torch.set_num_threads(THREADS)
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, Python {platform.python_version()}"
    print(f"{machine()}; {THREADS} threads; {versions}; 112 × 112 pixels, one view, random weights")
    for name in sys.argv[1:] or BACKBONES:
        for batch in BATCHES:
            measure(name, batch)


@torch.inference_mode()
def measure(name: str, batch: int) -> None:
    torch.manual_seed(0)
    info = ModelInfo(backbone=name, options={}, embedding_size=512, input_size=112, loss="none", views="one")
    plain = Recognizer(create_backbone(name)).eval()
    images_BCHW = torch.rand(batch, 3, 112, 112) * 2 - 1
    channels_last_BCHW = images_BCHW.contiguous(memory_format=torch.channels_last)
    float32, bf16 = folded_recognizer(plain), folded_recognizer(plain, "bf16")
    session = onnx_session(plain, info)
    pixels = {"images": images_BCHW.numpy()}
    functions = {
        "plain eager float32": lambda: plain(images_BCHW),
        "ours, float32": lambda: float32(channels_last_BCHW),
        "onnxruntime, float32": lambda: session.run(["embedding"], pixels),
    }
    if computes_bf16(torch.device("cpu")):
        functions["ours, bf16"] = lambda: bf16(channels_last_BCHW)
    seconds = interleaved(functions)
    reference_BD = plain(images_BCHW).features_BD
    agreement = {
        "ours, float32": float32(channels_last_BCHW).features_BD,
        "onnxruntime, float32": torch.from_numpy(session.run(["embedding"], pixels)[0]),
        "ours, bf16": bf16(channels_last_BCHW).features_BD,
    }
    print(f"\n{name}, batch {batch:<4}{'images/s':>26}{'times as fast (quartiles)':>30}{'least cosine':>16}")
    for what, times in seconds.items():
        middle, low, high = ratio(seconds["plain eager float32"], times)
        cosine = torch.cosine_similarity(agreement.get(what, reference_BD), reference_BD).min().item()
        speed = batch / sorted(times)[len(times) // 2]
        print(f"{what:>28}{speed:15.1f}{middle:15.2f} ({low:.2f}–{high:.2f}){cosine:20.6f}", flush=True)


def onnx_session(recognizer: Recognizer, info: ModelInfo) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    with torch.inference_mode(False):
        content = onnx_graph(recognizer, info, preprocess=False, views="one").SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
