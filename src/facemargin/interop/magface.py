"""MagFace (github.com/IrvingMeng/MagFace): `.pth` with a `state_dict` of `features.module.…` (distributed training) or
`module.features.…`, over InsightFace's layout, with another epsilon in every batch norm and pixels in [0, 1].
"""

from facemargin.interop.family import Family

MAGFACE = Family(
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
        "MagFace's code is under the MIT licence; the weights have no licence of their own and were trained on MS1M, "
        "which was given for non-commercial research"
    ),
    non_commercial=False,
)
