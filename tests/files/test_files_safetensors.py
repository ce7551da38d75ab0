import torch
from safetensors import safe_open

from facemargin.files.safetensors import write_safetensors
from facemargin.models.info import save_model
from tests.models.tiny_models import model_info, tiny_recognizer

# What JSON writes with escapes, or could: quotes, control characters, and characters outside ASCII.
METADATA = {f"key {number}": chr(number) * 3 for number in range(32)} | {
    '"\\': '\\"/\x7f\x80',
    "é\u2028": "\u2028\U0001f600",
    "empty": "",
}


def test_equal_content_gives_equal_files(tmp_path):
    tensors = {"w": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(7), "h": torch.ones(3, dtype=torch.bfloat16)}
    path, contents = tmp_path / "t.safetensors", set()
    for reverse in (False, True, False, True):
        items = list(METADATA.items())[:: -1 if reverse else 1]
        write_safetensors(path, dict(list(tensors.items())[:: -1 if reverse else 1]), dict(items))
        contents.add(path.read_bytes())
    assert len(contents) == 1
    with safe_open(path, "pt") as file:
        assert file.metadata() == METADATA
        for name, value in tensors.items():
            torch.testing.assert_close(file.get_tensor(name), value, rtol=0, atol=0)


def test_equal_models_are_equal_files(tmp_path):
    torch.manual_seed(0)
    state, path = tiny_recognizer().state_dict(), tmp_path / "model.safetensors"
    contents = set()
    for _ in range(5):
        save_model(path, state, model_info(recipe="head:\n  name: funface  # é\n"))
        contents.add(path.read_bytes())
    assert len(contents) == 1
