import pytest


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "{run}", "--data", "orl:4-9", "--output", "{tmp}/evaluated"),
        ("calibrate", "{run}", "--pairs", "orl:4-9", "--output", "{tmp}/c.json"),
        ("calibrate", "{run}", "--images", "orl:4-9", "--output", "{tmp}/c.json"),
        ("certify", "{run}", "--images", "orl:4-9", "--fmr", "0.6", "--output", "{tmp}/p.json"),
        ("quality", "--check", "{run}", "--data", "orl:4-9", "--output", "{tmp}/q.json"),
    ],
    ids=lambda arguments: " ".join(arguments[:3:2]),
)
def test_a_model_that_is_measured_on_people_of_its_training_set_is_doubted(
    command, trained_run, tmp_path, caplog, arguments
):
    command(*(one.format(run=trained_run, tmp=tmp_path) for one in arguments))
    assert "people or pictures of orl:4-9 are in the model's training set" in caplog.text
    assert "1 person by name (s4)" in caplog.text
