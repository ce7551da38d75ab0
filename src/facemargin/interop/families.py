"""The projects whose checkpoints are read: one entry each says how its files are recognised and its networks fed.

Where they are from: github.com/mk-minchul/AdaFace, deepinsight/insightface (arcface_torch), mk-minchul/CVLface,
IrvingMeng/MagFace, fdbtrs/CR-FIQA; FunFace is arXiv 2604.26598.
"""

from facemargin.interop.family import Family, register_family
from facemargin.interop.model_yaml import declared_order

# Lightning `.ckpt` files with a `state_dict` of `model.…` and `head.…`. AdaFace's networks return the unit vector and
# the norm of what facemargin's return unnormalised: the norms are the same.
register_family(
    Family(
        name="adaface",
        title="AdaFace",
        layouts=("ir",),
        prefixes=("model.",),
        containers=("state_dict", ""),
        color_order="BGR",
        loss="adaface",
        licence=(
            "AdaFace's code is under the MIT licence; the weights have no licence of their own, the data they were "
            "trained on was given for non-commercial research, and questions of commercial use go to Michigan State "
            "University"
        ),
        non_commercial=False,
    )
)

# A bare state dict (`.pth`) in AdaFace's layout, but fed with RGB.
register_family(
    Family(
        name="funface",
        title="FunFace",
        layouts=("ir",),
        prefixes=("", "module."),
        containers=("",),
        loss="funface",
        licence="what the licence of FunFace's weights is, facemargin does not know: see where the file comes from",
        non_commercial=False,
        doubt=(
            "a bare state dict in AdaFace's layout is taken for FunFace's, which reads RGB; one that was taken out of "
            "an AdaFace checkpoint looks the same and reads BGR (--family adaface)"
        ),
    )
)

# Repositories on the Hugging Face Hub with `pretrained_model/model.pt` (keys `net.…`) or `model.safetensors`
# (`model.net.…`), and a `model.yaml` that says the colour order.
register_family(
    Family(
        name="cvlface",
        title="CVLface",
        layouts=("ir", "iresnet"),
        prefixes=("net.", "model.net."),
        containers=("", "state_dict"),
        loss="unknown",
        licence=(
            "CVLface's model cards ask to follow the licence of the training data: WebFace and MS1M were given for "
            "non-commercial research only"
        ),
        non_commercial=True,
        declared_order=declared_order,
    )
)

# `backbone.pth` or `model.pt`, a bare state dict, and `checkpoint_gpu_0.pt` of a training. ElasticFace uses the same
# files. InsightFace's `.onnx` files: see onnx_backbone.py.
register_family(
    Family(
        name="insightface",
        title="InsightFace (also ElasticFace)",
        layouts=("iresnet", "mobilefacenet"),
        prefixes=("", "module."),
        containers=("", "state_dict_backbone"),
        loss="unknown",
        licence=(
            "InsightFace's code is under the MIT licence, but the models it provides are for non-commercial research "
            "only; weights that you trained with it yourself are not concerned"
        ),
        non_commercial=True,
    )
)

# `.pth` with a `state_dict` of `features.module.…` (distributed training) or `module.features.…`, over InsightFace's
# layout, with another epsilon in every batch norm and pixels in [0, 1].
register_family(
    Family(
        name="magface",
        title="MagFace",
        layouts=("iresnet",),
        prefixes=("features.module.", "module.features.", "features."),
        containers=("state_dict", ""),
        color_order="BGR",
        mean=0.0,
        std=255.0,
        options={"batch_norm_eps": 2e-5, "dropout": 0.4, "drop_channels": True, "train_features_weight": True},
        loss="magface",
        licence=(
            "MagFace's code is under the MIT licence; the weights have no licence of their own and were trained on "
            "MS1M, which was given for non-commercial research"
        ),
        non_commercial=False,
    )
)

# A state dict in InsightFace's layout with the quality layer `qs` beside it.
register_family(
    Family(
        name="crfiqa",
        title="CR-FIQA",
        layouts=("iresnet",),
        prefixes=("", "module."),
        containers=("", "state_dict", "state_dict_backbone"),
        options={"dropout": 0.4},
        loss="crfiqa",
        quality_keys={"qs.weight": "linear.weight", "qs.bias": "linear.bias"},
        licence="CR-FIQA is under CC BY-NC 4.0, which does not allow commercial use",
        non_commercial=True,
    )
)
