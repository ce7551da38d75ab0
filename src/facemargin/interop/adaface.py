"""AdaFace (github.com/mk-minchul/AdaFace): Lightning `.ckpt` files with a `state_dict` of `model.…` and `head.…`.

Its networks return the unit vector and the norm of what facemargin's return unnormalised: the norms are the same.
"""

from facemargin.interop.family import Family

ADAFACE = Family(
    name="adaface",
    title="AdaFace",
    layouts=("ir",),
    prefixes=("model.",),
    containers=("state_dict", ""),
    color_order="BGR",
    loss="adaface",
    licence=(
        "AdaFace's code is under the MIT licence; the weights have no licence of their own, the data they were trained "
        "on was given for non-commercial research, and questions of commercial use go to Michigan State University"
    ),
    non_commercial=False,
)
