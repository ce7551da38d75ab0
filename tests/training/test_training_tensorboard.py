import importlib.util
import sys

import pytest

from facemargin.errors import ConfigError
from facemargin.training.tensorboard import TensorBoardLog


def test_without_tensorboard_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(ConfigError, match=r'logging.tensorboard needs .* pip install "facemargin\[tracking\]"'):
        TensorBoardLog(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard is not installed")
def test_rows_become_scalars(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = TensorBoardLog(tmp_path, 0)
    log.write({"step": 3, "epoch": 0.5, "loss": 1.5})
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Tags()["scalars"] == ["loss"]
    (scalar,) = events.Scalars("loss")
    assert (scalar.step, scalar.value) == (3, 1.5)
