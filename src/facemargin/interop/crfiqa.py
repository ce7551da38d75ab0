"""CR-FIQA (github.com/fdbtrs/CR-FIQA): a state dict in InsightFace's layout with the quality layer `qs` beside it."""

from facemargin.interop.family import Family

CRFIQA = Family(
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
