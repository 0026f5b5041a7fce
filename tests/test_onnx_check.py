"""ONNX files made to do harm: refused before ONNX Runtime sees them, or stopped in a process with limits."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from wakelark.audio import write_wav
from wakelark.cli import main
from wakelark.errors import ModelError
from wakelark.model_card import CARD_KEY
from wakelark.peers.live import check_runs
from wakelark.runtime.backend import Backend
from wakelark.runtime.memory_limit import EXTRA_BYTES, limited_memory
from wakelark.runtime.onnx_check import MAX_NODES, check_onnx

from .tiny_model import tiny_bytes, tiny_card, tiny_graph


def with_node(node: onnx.NodeProto) -> onnx.ModelProto:
    model = tiny_graph()
    model.graph.node.append(node)
    return model


def sub_graph() -> onnx.GraphProto:
    flag = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    step = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    going = helper.make_tensor_value_info("going", TensorProto.BOOL, [])
    return helper.make_graph([helper.make_node("Identity", ["go"], ["going"])], "body", [step, flag], [going])


def endless_loop() -> onnx.ModelProto:
    return with_node(helper.make_node("Loop", ["", "yes"], [], body=sub_graph()))


def graph_in_an_allowed_operator() -> onnx.ModelProto:
    return with_node(helper.make_node("Identity", ["audio"], ["copy"], body=sub_graph()))


def from_shape() -> onnx.ModelProto:
    model = with_node(helper.make_node("ConstantOfShape", ["huge"], ["zeros"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([2**40], np.int64), "huge"))
    return model


def function() -> onnx.ModelProto:
    model = tiny_graph()
    model.functions.append(
        helper.make_function("own", "f", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], model.opset_import)
    )
    return model


def other_domain() -> onnx.ModelProto:
    return with_node(helper.make_node("Identity", ["audio"], ["copy"], domain="example.unknown"))


def sparse(external: bool) -> onnx.ModelProto:
    model = tiny_graph()
    values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    if external:
        values.ClearField("raw_data")
        values.data_location = TensorProto.EXTERNAL
        values.external_data.add(key="location", value="/etc/passwd")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64)), [4])
    )
    return model


def external_attribute() -> onnx.ModelProto:
    tensor = TensorProto(data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret")
    return with_node(helper.make_node("Constant", [], ["secret"], value=tensor))


def huge_shape() -> onnx.ModelProto:
    model = tiny_graph()
    model.graph.initializer.append(TensorProto(name="huge", data_type=TensorProto.FLOAT, dims=[2**20, 2**20]))
    return model


def many_nodes() -> onnx.ModelProto:
    model = tiny_graph()
    model.graph.node.extend([helper.make_node("Identity", ["audio"], ["x"])] * MAX_NODES)
    return model


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (endless_loop, "the operator 'Loop'"),
        (graph_in_an_allowed_operator, "a graph inside a node"),
        (from_shape, "the operator 'ConstantOfShape'"),
        (function, "functions of its own"),
        (other_domain, "an operator of the domain 'example.unknown'"),
        (lambda: sparse(external=False), "sparse tensors"),
        (lambda: sparse(external=True), "sparse tensors"),
        (external_attribute, "in other files"),
        (huge_shape, r"a tensor of the shape \[1048576, 1048576\]"),
        (many_nodes, "more than 10000 nodes"),
    ],
)
def test_what_no_wake_word_model_needs_is_refused_at_once(make: Callable[[], onnx.ModelProto], reason: str) -> None:
    model = make()
    helper.set_model_props(model, {CARD_KEY: tiny_card().to_json()})
    data = model.SerializeToString()
    began = time.process_time()
    with pytest.raises(ModelError, match=reason) as caught:
        Backend(data, name="evil.onnx")
    assert time.process_time() - began < 1
    assert str(caught.value).startswith("evil.onnx ")


@settings(max_examples=100)
@given(position=st.integers(0, 10**6), value=st.integers(0, 255), cut=st.integers(0, 10**6))
def test_damage_is_refused_or_harmless(position: int, value: int, cut: int) -> None:
    data = bytearray(tiny_bytes())
    data[position % len(data)] = value
    del data[len(data) - cut % len(data) // 2 :]
    with suppress(ModelError):  # and no other error
        check_onnx(bytes(data), name="x")


@pytest.mark.parametrize("place", ["operator's input", "input", "metadata"])
def test_names_that_are_no_text_are_no_bug(place: str) -> None:
    """Found by damaging files at random: ONNX Runtime's own message about them cannot be decoded."""
    data = tiny_bytes()
    old, new = {
        "operator's input": (b"steps_shape", b"steps_\xe8\xe8\xe8\xe8\xe8"),
        "input": (b"audio", b"aud\xff\xff"),
        "metadata": (b"loud noise", b"loud\xff\xff\xff\xff\xff\xff"),
    }[place]
    with pytest.raises(ModelError):
        Backend(data.replace(old, new, 1), name="x")


def test_many_small_parts_do_not_take_long() -> None:
    began = time.process_time()
    with pytest.raises(ModelError, match="more than 500000 parts"):
        check_onnx(b"\x08\x01" * 2_000_000, name="x")
    with pytest.raises(ModelError, match="that many dimensions"):  # model > graph > initializer > packed dims
        check_onnx(_inside(7, _inside(5, _inside(1, b"\x01" * 1_000_000))), name="x")
    assert time.process_time() - began < 3


def _inside(field: int, content: bytes) -> bytes:
    length, size = b"", len(content)
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return bytes([field << 3 | 2]) + length + bytes([size]) + content


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """Two vectors of 64,000 multiply to 16 GB; everything is allowed arithmetic."""
    model = tiny_graph()
    ones = np.ones(64_000, np.float32)
    model.graph.initializer.extend([
        numpy_helper.from_array(ones[:, None], "down"), numpy_helper.from_array(ones[None], "across"),
        numpy_helper.from_array(np.array([0, 1], np.int64), "both_axes"),
        numpy_helper.from_array(np.zeros(1, np.float32), "nothing"),
    ])  # fmt: skip
    scores = next(node for node in model.graph.node if "scores" in node.output)
    scores.output[0] = "true_scores"
    model.graph.node.extend([
        helper.make_node("Mul", ["down", "across"], ["all"]),
        helper.make_node("ReduceMax", ["all", "both_axes"], ["one"], keepdims=0),
        helper.make_node("Mul", ["one", "nothing"], ["zero_again"]),
        helper.make_node("Add", ["true_scores", "zero_again"], ["scores"]),
    ])  # fmt: skip
    helper.set_model_props(model, {CARD_KEY: tiny_card().to_json()})
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    check_onnx(path.read_bytes(), name="x")
    return path


def test_allowed_operators_that_ask_for_all_memory_end_another_process(bomb: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.onnx"):
        check_runs(bomb)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("verb", ["detect", "score"])
def test_verbs_that_run_a_model_have_a_limit_of_memory(
    verb: str, bomb: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    write_wav(bomb.with_name("a.wav"), np.zeros(16_000, np.int16))
    with pytest.raises(SystemExit) as stop:
        main([verb, str(bomb), str(bomb.with_name("a.wav"))])
    assert stop.value.code == 4
    assert "model.onnx" in capsys.readouterr().err
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_lower_limit_stays() -> None:
    before, most = resource.getrlimit(resource.RLIMIT_AS)
    with limited_memory():
        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        assert EXTRA_BYTES < limit < EXTRA_BYTES + (100 << 30)
        with limited_memory():
            assert resource.getrlimit(resource.RLIMIT_AS)[0] <= limit
        assert resource.getrlimit(resource.RLIMIT_AS)[0] == limit
    assert resource.getrlimit(resource.RLIMIT_AS) == (before, most)
