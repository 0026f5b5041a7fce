"""The writer of TFLite files, read by the schema's own reader and run by ai-edge-litert."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as litert
from ai_edge_litert.interpreter import Interpreter

from wakelark.models.heads import EmbeddingHead, HeadEnsemble
from wakelark.tflite.builder import ModelBuilder
from wakelark.tflite.open_wake_word import open_wake_word_tflite
from wakelark.tflite.schema import Kind, Op, Quantisation, call_once_options, conv_options, variable_options


def ensemble(context_steps: int) -> HeadEnsemble:
    torch.manual_seed(context_steps)
    heads = [EmbeddingHead(context_steps=context_steps, hidden=hidden, dropout=0.3) for hidden in (32, 5)]
    for head in heads:
        head.set_statistics(torch.randn(200, 96) * 5 + 3)
    return HeadEnsemble(heads, temperatures=[2.0, 0.5], biases=[0.3, -1.0]).eval()


def test_numbers_are_the_schemas() -> None:
    for op in Op:
        assert getattr(litert.BuiltinOperator, op.name) == op
    for kind in Kind:
        assert getattr(litert.TensorType, kind.name) == kind


def test_the_schemas_reader_finds_what_was_written() -> None:
    model = ModelBuilder("what it is")
    main, start = model.graph("main"), model.graph("start")
    scales = Quantisation([0.5, 0.25], zero_point=-3, axis=3)
    main.constant("weights", np.arange(-4, 4).reshape(1, 2, 2, 2), Kind.INT8, scales)
    handle = main.tensor("handle", [], Kind.RESOURCE)
    main.operator(Op.CALL_ONCE, [], [], call_once_options(graph=1))
    main.operator(Op.VAR_HANDLE, [], [handle], variable_options(name="ring_3"))
    main.operator(Op.CONV_2D, [handle], [handle], conv_options(stride=3, dilation=2))
    start.operator(Op.VAR_HANDLE, [], [start.tensor("handle", [], Kind.RESOURCE)], variable_options(name="ring_3"))
    data = model.finish()
    read = litert.ModelT.InitFromPackedBuf(data, 0)
    assert (read.version, read.description) == (3, b"what it is")
    assert [(code.deprecatedBuiltinCode, code.builtinCode) for code in read.operatorCodes] == [
        (127, 129), (127, 142), (3, 3),
    ]  # fmt: skip
    graph = read.subgraphs[0]
    assert [graph.operators[0].builtinOptions.initSubgraphIndex, graph.operators[1].builtinOptions.sharedName] == [
        1, b"ring_3",
    ]  # fmt: skip
    assert vars(graph.operators[2].builtinOptions) == {
        "padding": 1, "strideW": 1, "strideH": 3, "fusedActivationFunction": 0, "dilationWFactor": 1,
        "dilationHFactor": 2, "quantizedBiasType": 0,
    }  # fmt: skip
    tensor = graph.tensors[0]
    assert (list(tensor.shape), tensor.type, tensor.name) == ([1, 2, 2, 2], litert.TensorType.INT8, b"weights")
    assert (list(tensor.quantization.scale), list(tensor.quantization.zeroPoint)) == ([0.5, 0.25], [-3, -3])
    assert tensor.quantization.quantizedDimension == 3
    assert bytes(read.buffers[tensor.buffer].data) == bytes([252, 253, 254, 255, 0, 1, 2, 3])
    assert data.index(bytes([252, 253, 254, 255, 0, 1, 2, 3])) % 16 == 0, "weights lie at multiples of 16 bytes"


def test_equal_constants_are_stored_once() -> None:
    model = ModelBuilder("")
    graph = model.graph("main")
    assert graph.constant("a", np.array([1, 2]), Kind.INT32) == graph.constant("b", np.array([1, 2]), Kind.INT32)
    before = len(model.finish())
    graph.constant("c", np.zeros(4096), Kind.FLOAT32)
    graph.constant("d", np.zeros(16384), Kind.INT8, Quantisation([1.0]))
    assert len(model.finish()) < before + 16384 + 500


def test_numbers_that_do_not_fit_are_refused() -> None:
    graph = ModelBuilder("").graph("main")
    with pytest.raises(ValueError, match="cannot be stored as INT8"):
        graph.constant("weights", np.array([1.5]), Kind.INT8)
    with pytest.raises(ValueError, match="names tensor 0"):
        graph.operator(Op.LOGISTIC, [0], [0])


@pytest.mark.parametrize("context_steps", [16, 10, 1])
def test_an_openwakeword_head_says_what_the_heads_say(context_steps: int) -> None:
    heads = ensemble(context_steps)
    interpreter = Interpreter(model_content=open_wake_word_tflite(heads, shift=0.7, averaged=1), num_threads=1)
    interpreter.allocate_tensors()
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    assert (taken["shape"].tolist(), given["shape"].tolist()) == ([1, 16, 96], [1, 1])
    for _ in range(20):
        window = torch.randn(1, 16, 96) * 6 + 3
        interpreter.set_tensor(taken["index"], window.numpy())
        interpreter.invoke()
        with torch.inference_mode():
            expected = torch.sigmoid(heads(window)[:, -1:] + 0.7).numpy()
        np.testing.assert_allclose(interpreter.get_tensor(given["index"]), expected, atol=1e-5)
