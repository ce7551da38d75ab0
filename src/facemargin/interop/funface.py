"""FunFace (arXiv 2604.26598): a bare state dict (`.pth`) in AdaFace's layout, but fed with RGB."""

from facemargin.interop.family import Family

FUNFACE = Family(
    name="funface",
    title="FunFace",
    layouts=("ir",),
    prefixes=("", "module."),
    containers=("",),
    loss="funface",
    licence="what the licence of FunFace's weights is, facemargin does not know: see where the file comes from",
    non_commercial=False,
    doubt=(
        "a bare state dict in AdaFace's layout is taken for FunFace's, which reads RGB; one that was taken out of an "
        "AdaFace checkpoint looks the same and reads BGR (--family adaface)"
    ),
)
