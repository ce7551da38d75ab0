import pytest

from facemargin.errors import ConfigError
from facemargin.heads import create_head
from facemargin.margins import create_margin, list_margins


def test_every_margin_of_the_first_release_is_listed():
    expected = {"adaface", "arcface", "combined", "cosface", "funface", "magface", "normface"}
    assert expected <= set(list_margins())
    assert list_margins("*face") == [name for name in list_margins() if name.endswith("face")]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: create_margin("funfaec"), "did you mean 'funface'"),
        (lambda: create_margin("funface", mixing_facter=0.2), "did you mean 'mixing_factor'"),
        (lambda: create_head("adaface", 4, 8, t_alpa=0.2), "did you mean 't_alpha'"),
        (lambda: create_head("adaface", 4, 8, implementation="chunky"), "did you mean 'chunked'"),
        (lambda: create_head("adaface", 4, 8, center_initialization="units"), "did you mean 'unit'"),
        (lambda: create_head("adaface", 0, 8), "num_classes is 0, expected at least 1"),
        (lambda: create_head("adaface", True, 8), r"num_classes is True \(bool\), expected a whole number"),
        (lambda: create_head("adaface", 4, 8, sample_rate="all"), "sample_rate is 'all', expected a number"),
        (lambda: create_margin("arcface", margin=float("nan")), "margin is nan .not a number., expected"),
        (lambda: create_margin("arcface", margin=30), "margin is 30, .* in radians, of which 30 degrees are 0.524"),
        (lambda: create_margin("cosface", margin=float("inf")), "margin is inf, expected a number between"),
        (lambda: create_margin("curricularface", margin=28.6), "margin is 28.6, .* degrees are 0.499"),
        (lambda: create_margin("magface", lower_margin=25.0), "lower_margin is 25"),
        (lambda: create_margin("elasticface_arc", margin=28), "margin is 28"),
        (lambda: create_margin("combined", m2=28.6), "m2 is 28.6"),
        (lambda: create_margin("combined", m1=0), "m1 is 0, expected a positive number"),
        (lambda: create_margin("funface", mixing_factor=1.5), r"mixing_factor is 1.5, expected a number in \[0, 1\]"),
        (lambda: create_margin("adaface", t_alpha=0.0), "t_alpha is 0.0"),
        (lambda: create_margin("cosface", scale=-1.0), "scale is -1.0"),
        (lambda: create_margin("magface", lower_norm=200.0), "lower_norm < upper_norm"),
        (lambda: create_margin("funface", certainty_ratio_bound=-1.0), "certainty_ratio_bound"),
        (lambda: create_margin("cosface", interclass_filtering_threshold=1.5), "interclass_filtering_threshold is 1.5"),
        (lambda: create_margin("mv_am", interclass_filtering_threshold=0.4), "MV-Softmax re-weights hard negatives"),
        (lambda: create_margin("curricularface", interclass_filtering_threshold=0.4), "Remove this setting"),
        (lambda: create_margin("curricularface", t_alpha=0.0), "t_alpha is 0.0"),
        (lambda: create_margin("mv_arc", t=0.2), "t is 0.2, expected 1 or more"),
        (lambda: create_margin("elasticface_cos", sigma=-0.1), "sigma is -0.1"),
        (lambda: create_margin("sphereface", multiplier=0), "multiplier is 0"),
        (lambda: create_margin("sphereface", lambda_end=2000.0), "lambda_end 2000.0"),
        (
            lambda: create_margin("sphereface", scale=64.0),
            "setting of sphereface",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
