"""InsightFace's arcface_torch (github.com/deepinsight/insightface): `backbone.pth` or `model.pt`, a bare state dict,
and `checkpoint_gpu_0.pt` of a training. ElasticFace uses the same files. Its `.onnx` files: see insightface_onnx.py.
"""

from facemargin.interop.family import Family

INSIGHTFACE_LICENCE = (
    "InsightFace's code is under the MIT licence, but the models it provides are for non-commercial research only; "
    "weights that you trained with it yourself are not concerned"
)

INSIGHTFACE = Family(
    name="insightface",
    title="InsightFace (also ElasticFace)",
    layouts=("iresnet", "mobilefacenet"),
    prefixes=("", "module."),
    containers=("", "state_dict_backbone"),
    loss="unknown",
    licence=INSIGHTFACE_LICENCE,
    non_commercial=True,
)
