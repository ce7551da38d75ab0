import argparse
import builtins
import codecs
import collections
import functools
import io
import os
import pathlib
import pickle
import pickletools
import runpy
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

import facemargin as fm
from facemargin.errors import CheckpointError
from facemargin.files.pickled_numpy import NUMPY
from facemargin.files.pickles import CodeError, Inert, load_inert
from facemargin.files.stored_tensor import Storage
from tests.interop.foreign_files import ModelCheckpoint

PLAIN = {
    "none": None,
    "truth": [True, False],
    "numbers": [0, 255, 256, 70_000, -1, 2**31, 2**70, -(2**2000), 1.5, float("inf")],
    "text": ["", "a" * 300, "é\u4e2d\U0001f600", "x" * 70_000],
    "bytes": [b"", b"\x00\xff", b"y" * 300],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "nested": {"a": {"b": [1, {"c": (2,)}]}},
    3: "three",
}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_are_themselves(protocol):
    content = {key: value for key, value in PLAIN.items() if key != "bytes" or protocol > 2}
    assert load_inert(io.BytesIO(pickle.dumps(content, protocol)), {}) == content


@pytest.mark.parametrize("protocol", range(6))
def test_shared_and_recursive_values_keep_their_identity(protocol):
    shared, loop = [1], []
    loop.append(loop)
    found = load_inert(io.BytesIO(pickle.dumps([shared, shared, loop], protocol)), {})
    assert found[0] is found[1] and found[2][0] is found[2]


class Config:
    def __init__(self):
        self.lr = 0.1


class Slotted:
    __slots__ = ("a",)


class Attributes(dict):
    pass


@pytest.mark.parametrize("protocol", range(6))
def test_objects_of_unknown_classes_are_placeholders_that_keep_their_state(protocol):
    content = [
        Config(),
        argparse.Namespace(a=1),
        pathlib.PurePosixPath("x/y"),
        Attributes(b=2),
        {1, 2},
        ModelCheckpoint,
    ]
    found = load_inert(io.BytesIO(pickle.dumps(content, protocol)), {})
    assert all(isinstance(one, Inert) for one in found)
    assert found[0].state == {"lr": 0.1} and found[1].state == {"a": 1}
    assert found[-1].name == "tests.interop.foreign_files.ModelCheckpoint"


def test_numpy_values_are_placeholders():
    content = {"a": np.float64(1), "b": np.ones(3), "c": np.dtype("f4"), "d": np.array(["x"], object)}
    found = load_inert(io.BytesIO(pickle.dumps(content)), {})
    assert all(isinstance(one, Inert) for one in found.values())


MARKER = "facemargin_was_here"


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile_calls(path):
    """Pickles that would make the file `path` if they were run."""
    code = f"open({str(path)!r}, 'w').close()"
    return {
        "os.system": Calls(os.system, f"touch {path}"),
        "subprocess": Calls(subprocess.Popen, ["touch", str(path)]),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "open": Calls(open, str(path), "w"),
        "import": Calls(__import__, "os"),
        "getattr": Calls(builtins.getattr, "text", "upper"),
        "runpy": Calls(runpy.run_path, str(path)),
        "torch.load": Calls(torch.load, str(path)),
        "torch.hub": Calls(torch.hub.load, "someone/something", "model"),
        "numpy.load": Calls(np.load, str(path)),
        "numpy.savetxt": Calls(np.savetxt, str(path), [1.0]),
        "partial": Calls(functools.partial, os.system, f"touch {path}"),
        "write_text": Calls(pathlib.Path.write_text, pathlib.Path(path), "x"),
        "map": Calls(map, os.system, [f"touch {path}"]),
        "defaultdict": Calls(collections.defaultdict, os.getcwd),
        "reconstruct": Calls(codecs.lookup, "utf-8"),
    }


@pytest.mark.parametrize("name", hostile_calls(pathlib.Path("x")))
@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_checkpoint_is_run(name, legacy, tmp_path):
    marker, path = tmp_path / MARKER, tmp_path / "hostile.pth"
    content = {"state_dict": {"conv1.weight": torch.zeros(2)}, "extra": hostile_calls(marker)[name]}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match=r"hostile\.pth") as caught:
        fm.load(path)
    assert not marker.exists()
    if name != "defaultdict" and name != "write_text":  # harmless without what they would call
        assert "refused" in str(caught.value) and "trust=True" in str(caught.value) and "--trust" in str(caught.value)


def test_trust_runs_it(tmp_path):
    # The same files do what they say under torch.load: the test above would notice.
    marker, path = tmp_path / MARKER, tmp_path / "hostile.pth"
    torch.save({"a": hostile_calls(marker)["os.system"]}, path)
    with pytest.raises(CheckpointError, match="holds no tensors"):
        fm.load(path, trust=True)
    assert marker.exists()


def assemble(*parts: bytes) -> io.BytesIO:
    return io.BytesIO(b"\x80\x02" + b"".join(parts) + b".")


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR",  # GLOBAL, REDUCE
        b"(S'true'\nios\nsystem\n",  # INST
        b"(cos\nsystem\nS'true'\no",  # OBJ
        b"cos\nsystem\n(S'true'\nt\x81",  # NEWOBJ
        b"\x8c\x02os\x8c\x06system\x93(S'true'\ntR",  # STACK_GLOBAL
        b"c__builtin__\neval\n(S'1'\ntR",  # Python 2
        b"cposix\nsystem\n(S'true'\ntR",
        b"cnt\nsystem\n(S'true'\ntR",
        b"ctorch.storage\n_load_from_bytes\n(S''\ntR",
        b"cnumpy.core.multiarray\nfromstring\n(S''\ntR",
        b"ctorch._utils\n_rebuild_wrapper_subclass\n(S''\ntR",
        b"cos\nsystem\n(S'true'\n}t\x92",  # NEWOBJ_EX
    ],
)
def test_every_way_of_calling_is_noticed(program):
    with pytest.raises((CodeError, ValueError)) as caught:
        load_inert(assemble(program), {})
    if b"\x92" not in program:
        assert caught.type is CodeError


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (b"}N(K\x01K\x02u", "sets 2 keys and values of a NoneType"),
        (b"N]a", "appends to a NoneType"),
        (b"N}b", "sets the state of a NoneType"),
        (b"K\x01)R", "calls a value of type int, which is no function"),
        (b"0", "values that are not there"),  # an empty stack
        (b"h\x05", "values that are not there"),  # a memo that is not there
        (b"(", "values that are not there"),
        (b"(Q", "values that are not there"),
        (b"NN\x93", "names something otherwise than by text"),
        (b"S'x'\nQ", "outside of it"),
        (b"\x82\x01", "instruction EXT1"),
        (b"\x97", "instruction NEXT_BUFFER"),
        (b"\xff", r"b'\\xff' for a pickle instruction"),
        (b"X\xff\xff\xff\x7fab", "ends too early"),  # a text longer than the file
        (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fab", "ends too early"),
    ],
)
def test_damaged_programs_are_refused(program, message):
    with pytest.raises(ValueError, match=message):
        load_inert(assemble(program), {})


def test_a_nested_tuple_as_a_key_does_not_overflow_the_stack():
    # hash() of it ends the process, also under torch.load(weights_only=True)
    found = load_inert(assemble(b"})" + b"\x85" * 200_000 + b"Ns"), {})
    assert len(found) == 1


def test_endless_programs_end():
    with pytest.raises(ValueError, match="far more objects than a file of its size"):
        load_inert(assemble(b"N0" * 1_200_000), {})


LONG_TEXT = b"X" + (10**6).to_bytes(4, "little") + b"a" * 10**6 + b"q\x00"
LONG_LIST = b"](" + b"NN\x86" * 10**5 + b"e\x85q\x00"


@pytest.mark.parametrize(
    "program",
    [
        LONG_TEXT + b"h\x00h\x00\x93" * 10**4,  # names of a million letters
        LONG_LIST + b"ccollections\nOrderedDict\nq\x01" + b"h\x01h\x00R" * 10**4,  # the same list made a dict
    ],
)
def test_what_stands_in_a_checkpoint_once_is_not_copied_without_end(program, tmp_path):
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"\x80\x02" + program + b".")
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"x\.pth cannot be read.*far more objects"):
            fm.load(path)
        assert tracemalloc.get_traced_memory()[1] < 4e8
    finally:
        tracemalloc.stop()


# A tuple that holds the one before twice: 2^60 letters, if it were printed.
DOUBLED = b")" + b"2\x86" * 60


def test_what_holds_itself_twice_is_not_printed():
    for name in ("", "cnumpy\ndtype\n"):
        load_inert(assemble(name.encode() + DOUBLED + (b"\x85R" if name else b"")), {})
    with pytest.raises(ValueError, match="holds numpy values of type tuple"):
        load_inert(assemble(b"cnumpy\ndtype\n" + DOUBLED + b"\x85R"), NUMPY)


def test_a_shape_that_holds_itself_twice_is_not_printed():
    storage = Storage(torch.float32, 1, lambda first, last: torch.zeros(1)[first:last])
    shape = load_inert(assemble(DOUBLED), {})
    with pytest.raises(ValueError, match="not equally many whole numbers"):
        storage.tensor(0, shape, ())


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_mutated_pickles_raise_nothing_else():
    random = np.random.default_rng(0)
    content = {"a": [1, "x", (2.5, None)], "b": Config(), 3: {"c": b"bytes" * 3}, "d": ModelCheckpoint}
    original = pickle.dumps(content, 2)
    assert len(list(pickletools.genops(original))) > 30
    read = 0
    for _ in range(1500):
        mutant = bytearray(original)
        for position in random.integers(0, len(mutant), random.integers(1, 4)):
            mutant[position] = random.integers(0, 256)
        try:
            length = len(mutant) if random.random() < 0.8 else random.integers(1, len(mutant))
            load_inert(io.BytesIO(bytes(mutant[:length])), {})
            read += 1
        except (ValueError, CodeError):
            pass
    assert read > 0


def test_the_list_of_suspects_knows_this_python():
    assert {"os", "posix", "nt", "subprocess", "builtins", "ctypes"} <= set(sys.stdlib_module_names)
