import shutil

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import facemargin as fm
from facemargin.data.formats.image_files import read_image_file
from facemargin.data.formats.named_images import NamedImages
from facemargin.evaluation import PairScores
from facemargin.features.embeddings_file import EmbeddingsFile
from tests.commands.face_folder import write_crfiqa_model, write_faces
from tests.commands.photo_folder import write_empty, write_photographs


def read_image(path):
    return cv2.imread(str(path))[:, :, ::-1]


def stored(path):
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)


def test_the_file_holds_what_the_model_says(command, trained_run, tmp_path):
    paths = write_faces(tmp_path / "faces", range(1, 3))
    code, out, err = command(
        "embed", trained_run, tmp_path / "faces", "--output", tmp_path / "new" / "e.npz", "--batch-size", "4",
        "--views", "one",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out == f"6 embeddings of 16 values, quality: feature norm; {tmp_path}/new/e.npz\n"
    arrays = stored(tmp_path / "new" / "e.npz")
    assert arrays.keys() == {"paths", "embeddings", "norms", "quality"}
    assert arrays["paths"].tolist() == [f"faces/{path.relative_to(tmp_path / 'faces')}" for path in paths]
    expected = fm.load(trained_run).embed([read_image(path) for path in paths], views="one")
    np.testing.assert_allclose(arrays["embeddings"], expected.vectors, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(arrays["norms"], expected.norms, rtol=1e-5)
    np.testing.assert_array_equal(arrays["quality"], arrays["norms"])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["e.npz"]  # no partial files


def test_where_the_model_computes_is_said(command, trained_run, tmp_path):
    write_faces(tmp_path / "faces", range(1, 2))
    arguments = ["embed", trained_run, tmp_path / "faces", "--output", tmp_path / "e.npz"]
    code, _, err = command(*arguments, "--device", "cpu", "--precision", "bf16")
    assert (code, err) == (0, f"{trained_run} computes on cpu, bf16; 1 thread reads images, 64 at a time\n")
    assert stored(tmp_path / "e.npz")["embeddings"].shape == (3, 16)
    code, _, err = command(*arguments, "--device", "cuda:99")
    assert code == 2 and "device is 'cuda:99', but this machine has" in err and "auto takes a GPU" in err


def test_corrupt_images_are_named_left_out_and_counted(command, trained_run, tmp_path):
    paths = write_faces(tmp_path / "faces", range(1, 2))
    paths[1].write_bytes(paths[1].read_bytes()[:100])
    (tmp_path / "faces" / "s1" / "z.png").write_bytes(b"")
    code, out, err = command("embed", trained_run, tmp_path / "faces", "--output", tmp_path / "e.npz")
    assert code == 0 and "2 embeddings" in out
    lines = err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"{paths[1]}: the image is truncated")
    assert lines[1].startswith(f"{tmp_path}/faces/s1/z.png: the image is empty")
    assert lines[2] == "warning: 2 of 4 images cannot be read and were left out; they are named above"
    assert [path.rsplit("/")[-1] for path in stored(tmp_path / "e.npz")["paths"]] == ["s1_0001.jpg", "s1_0003.jpg"]


@pytest.mark.slow
def test_a_file_is_evaluated_like_the_model_it_comes_from(command, tmp_path):
    write_faces(tmp_path / "lfw" / "images", range(1, 5))
    same = [f"s{person}\t{one}\t{other}" for person in range(1, 5) for one, other in ((1, 2), (2, 3), (1, 3))]
    different = [f"s{a}\t{a}\ts{b}\t{b - 1}" for a in range(1, 4) for b in range(a + 1, 5)] * 2
    (tmp_path / "lfw" / "pairs.txt").write_text(
        "\n".join(["2\t6", *same[:6], *different[:6], *same[6:], *different[6:]])
    )
    model = write_crfiqa_model(tmp_path / "model.safetensors")
    assert command("embed", model, tmp_path / "lfw" / "images", "--output", tmp_path / "e.npz")[0] == 0
    shutil.move(tmp_path / "lfw", tmp_path / "elsewhere")
    scores = []
    for system, name in ((model, "facemargin"), (tmp_path / "e.npz", "e")):
        code, _, err = command("evaluate", system, "--data", tmp_path / "elsewhere", "--output", tmp_path / name)
        assert (code, err) == (0, "")
        (written,) = (tmp_path / name / "evaluation").glob(f"*/{name}.npz")
        scores.append(PairScores.load(written))
    np.testing.assert_allclose(scores[1].scores_K, scores[0].scores_K, atol=1e-5)
    np.testing.assert_allclose(scores[1].quality_a_K, scores[0].quality_a_K, rtol=1e-4)
    np.testing.assert_allclose(scores[1].quality_b_K, scores[0].quality_b_K, rtol=1e-4)


def test_the_layer_that_predicts_quality_is_asked(command, tmp_path):
    paths = write_faces(tmp_path / "faces", range(1, 2))
    model = write_crfiqa_model(tmp_path / "model.safetensors")
    code, out, _ = command("embed", model, *paths, "--output", tmp_path / "e.npz")
    assert code == 0 and "quality: CR-FIQA's prediction" in out
    expected = fm.load(model).embed([read_image(path) for path in paths])
    arrays = stored(tmp_path / "e.npz")
    np.testing.assert_allclose(arrays["quality"], expected.quality, rtol=1e-4)
    assert not np.allclose(arrays["quality"], arrays["norms"])
    read_back = EmbeddingsFile(tmp_path / "e.npz").embed(NamedImages(paths[::-1]))
    np.testing.assert_array_equal(read_back.quality, arrays["quality"][::-1])
    np.testing.assert_allclose(read_back.vectors, expected.vectors[::-1], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}", "--output", "{tmp}/e.npz"], "no images are given"),
        (["{run}", "{tmp}/none", "--output", "{tmp}/e.npz"], "none does not exist"),
        (["{run}", "{tmp}/empty", "--output", "{tmp}/e.npz"], "empty holds no images"),
        (["{run}", "{tmp}/bad.png", "--output", "{tmp}/e.npz"], "the only image of"),
        (
            ["{run}", "{tmp}/faces", "--output", "{tmp}/e.npy"],
            "expected a name that ends in .npz, or the name of a folder",
        ),
        (
            ["{run}", "{tmp}/faces", "--output", "{tmp}/new", "--by-folder"],
            "--by-folder writes one embedding per folder",
        ),
        (["{run}", "{tmp}/faces", "--output", "{tmp}/new", "--batch-size", "0"], "--batch-size is 0"),
        (["{run}", "{tmp}/faces", "--output", "{tmp}/bad.png"], "expected a name that ends in .npz"),
        (["{run}", "{tmp}/faces", "--output", "{tmp}/faces"], "contains other files (s1) and no manifest.json"),
        (["{run}", "{tmp}/faces", "--output", "{tmp}/bad.png/e.npz"], "cannot write"),
        (["{run}", "{tmp}/faces"], "--output"),
        (["{run}", "{tmp}/faces", "--output", "{tmp}/e.npz", "--batch-size", "0"], "--batch-size is 0"),
        (["{run}", "{tmp}/faces", "--output", "{tmp}/e.npz", "--views", "two"], "--views"),
        (["{tmp}", "{tmp}/faces", "--output", "{tmp}/e.npz"], "there is no model file"),
    ],
)
def test_mistakes_end_with_one_clear_line(command, trained_run, tmp_path, arguments, message):
    write_faces(tmp_path / "faces", range(1, 2), each=1)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.png").write_bytes(b"garbage")
    code, out, err = command("embed", *(word.format(run=trained_run, tmp=tmp_path) for word in arguments))
    assert code == 2
    assert message in out + err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.png", "empty", "faces"]


def test_photographs_are_aligned_on_the_fly(command, trained_run, tmp_path):
    first, second = write_photographs(tmp_path / "photos", range(1, 2))
    nobody = write_empty(tmp_path / "photos" / "nobody.png")
    code, out, err = command("embed", trained_run, tmp_path / "photos", "--output", tmp_path / "e.npz", "--detect")
    assert code == 0 and "2 embeddings" in out
    assert f"{nobody}: no face was found" in err and "1 of 3 images cannot be read or show no face" in err
    expected = fm.load(trained_run).embed([fm.align(read_image(path)) for path in (first, second)])
    np.testing.assert_allclose(stored(tmp_path / "e.npz")["norms"], expected.norms, rtol=1e-4)
    assert (
        "1 of 3 images cannot be read or show no face"
        in command("quality", trained_run, tmp_path / "photos", "--detect")[2]
    )


def test_one_embedding_a_folder(command, trained_run, tmp_path):
    paths = write_faces(tmp_path / "videos", range(1, 3))
    code, out, _ = command("embed", trained_run, tmp_path / "videos", "--output", tmp_path / "e.npz", "--by-folder")
    assert code == 0 and "2 embeddings of the folders of 6 images of 16 values" in out
    arrays = stored(tmp_path / "e.npz")
    assert arrays["paths"].tolist() == ["videos/s1", "videos/s2"]
    frames = fm.load(trained_run).embed([read_image(path) for path in paths[:3]])
    mean = (frames.quality[:, None] * frames.vectors).sum(0)
    np.testing.assert_allclose(arrays["embeddings"][0], mean / np.linalg.norm(mean), atol=1e-4)


@pytest.mark.parametrize("detect", [False, True])
def test_a_folder_of_arrays_that_is_resumed(command, trained_run, tmp_path, detect):
    paths = write_photographs(tmp_path / "photos", range(1, 3))
    paths[3] = paths[3].rename(paths[3].parent / "z\udcffme.png")  # a byte that is no UTF-8
    damaged = paths[2].read_bytes()
    paths[2].write_bytes(b"")
    arguments = ["embed", trained_run, tmp_path / "photos", "--output", tmp_path / "new" / "stored"]
    arguments += ["--detect"] if detect else []
    code, out, err = command(*arguments)
    assert code == 0 and "3 embeddings of 16 values" in out and "the image is empty" in err
    assert "image" in (tmp_path / "new" / "stored" / "images.csv").read_text(errors="replace").splitlines()[3]
    paths[2].write_bytes(damaged)
    code, out, err = command(*arguments)
    assert code == 0 and "4 embeddings" in out
    assert err == "" if detect else err.startswith("warning: 1 of 1 image was squashed to a square")
    folder = tmp_path / "new" / "stored"
    features = np.load(folder / "features.npy", mmap_mode="r")
    images = [fm.align(read_image_file(path)) if detect else read_image_file(path) for path in paths]
    expected = fm.load(trained_run).embed(images)
    np.testing.assert_allclose(features, expected.vectors * expected.norms[:, None], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(np.load(folder / "quality.npy"), expected.quality, rtol=1e-3)
    lines = (folder / "images.csv").read_text(errors="replace").splitlines()
    assert lines[:2] == ["row,path,problem", "0,photos/s1/s1_0001.png,"] and len(lines) == 5
    other = ["--views", "one"] if detect else ["--detect"]
    code, _, err = command(*arguments, *other)
    assert code == 2 and "contains features of other images, another model or other views" in err


def write_onnx_model(path, seed):
    """A matrix as a recogniser of 16 × 16 pixels, in a graph as InsightFace's."""
    weight = np.random.default_rng(seed).normal(size=(768, 4)).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["data"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["features"])]
    inputs = [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["batch", 3, 16, 16])]
    outputs = [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", 4])]
    graph = helper.make_graph(nodes, "recogniser", inputs, outputs, [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def test_onnx_models_are_told_apart(command, tmp_path):
    write_faces(tmp_path / "faces", range(1, 2))
    first, second = (write_onnx_model(tmp_path / f"{seed}.onnx", seed) for seed in range(2))
    assert command("embed", first, tmp_path / "faces", "--output", tmp_path / "stored")[0] == 0
    assert command("embed", first, tmp_path / "faces", "--output", tmp_path / "stored")[0] == 0
    code, _, err = command("embed", second, tmp_path / "faces", "--output", tmp_path / "stored")
    assert code == 2 and "another model" in err
