"""`wakelark lint`: published models boot, broken ones are refused for their own reason, hostile files crash nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pymicro_wakeword
import pytest
from ai_edge_litert import schema_py_generated as litert
from typer.testing import CliRunner

from wakelark.cli.lint import lint
from wakelark.errors import ModelError
from wakelark.tflite import quantise
from wakelark.tflite.builder import ModelBuilder
from wakelark.tflite.lint import lint_file
from wakelark.tflite.lint_manifest import lint_manifest
from wakelark.tflite.lint_model import lint_model
from wakelark.tflite.manifest import manifest_for
from wakelark.tflite.micro_graph import MicroGraph
from wakelark.tflite.micro_student import build_micro_student
from wakelark.tflite.op_names import BUILTIN_NAMES
from wakelark.tflite.read import read_model
from wakelark.tflite.schema import Kind, Op, Quantisation, add_options, variable_options
from wakelark.tflite.tflm import measure_arena

from .micro_material import micro_features, micro_student
from .tiny_model import tiny_card

PUBLISHED = Path(pymicro_wakeword.__file__).parent / "models"
NAMES = sorted(path.name for path in PUBLISHED.glob("*.json"))


@pytest.fixture(scope="module")
def jarvis() -> bytes:
    return (PUBLISHED / "hey_jarvis.tflite").read_bytes()


def manifest(**changes: Any) -> dict[str, Any]:
    """A published manifest, changed: `micro={...}` changes settings, None removes a key."""
    content = json.loads((PUBLISHED / "hey_jarvis.json").read_text())
    content["micro"].update(changes.pop("micro", {}))
    content.update(changes)
    return {name: value for name, value in content.items() if value is not None}


def write(folder: Path, content: object, model: bytes | None, *, name: str = "hey.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    if model is not None:
        (folder / "hey_jarvis.tflite").write_bytes(model)
    return path


def fatal(path: Path) -> list[str]:
    return [finding.text for finding in lint_file(path).findings if finding.fatal]


def broken(data: bytes, change: Any) -> bytes:
    """The file with `change` made to what the schema's own reader makes of it."""
    import flatbuffers

    model = litert.ModelT.InitFromPackedBuf(data, 0)
    change(model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_names_are_the_schemas() -> None:
    known = {name: number for name, number in vars(litert.BuiltinOperator).items() if isinstance(number, int)}
    assert dict(zip(BUILTIN_NAMES, range(len(BUILTIN_NAMES)), strict=True)) == known


@pytest.mark.parametrize("name", NAMES)
def test_published_models_boot(name: str) -> None:
    result = lint_file(PUBLISHED / name)
    assert result.boots
    assert result.findings == []
    assert result.model is not None
    assert (result.model.variables, result.model.operators["CALL_ONCE"]) == (6, 1)


def test_our_own_boots_and_has_nothing_to_complain_about(tmp_path: Path) -> None:
    model = build_micro_student(micro_student(), shift=0.0, features=micro_features())
    arena = measure_arena(model.data).smallest_bytes
    assert arena is not None
    told = manifest_for(
        tiny_card(), threshold=0.5, model="hey_jarvis.tflite", author="me", website="", smallest_arena_bytes=arena
    )
    result = lint_file(write(tmp_path, told.to_json(), model.data))
    assert result.findings == []
    assert result.boots


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trained_languages": None}, "trained_languages: is missing; it must be a list of texts"),
        ({"version": 1}, "version: is 1; it must be 2"),
        ({"version": True}, "version: is true; it must be 2"),
        ({"type": "macro"}, 'type: is "macro"; it must be the text "micro"'),
        ({"websit": "https://x.org"}, "websit: is no key of a manifest; did you mean website?"),
        ({"calibration": {}}, "calibration: is no key of a manifest; remove it"),
        ({"website": "x"}, 'website: is "x"; it must be a web address'),
        ({"trained_languages": "en"}, 'trained_languages: is "en"; it must be a list'),
        ({"micro": {"probability_cutoff": "0.9"}}, "micro.probability_cutoff: is"),
        ({"micro": {"probability_cutoff": 97}}, "micro.probability_cutoff: is 97; it must be a number above 0"),
        ({"micro": {"probability_cutoff": 10**400}}, "micro.probability_cutoff: is 1000"),
        ({"micro": {"probability_cutoff": float("nan")}}, "micro.probability_cutoff: is NaN"),
        ({"micro": {"sliding_window_size": 0}}, "micro.sliding_window_size: is 0"),
        ({"micro": {"feature_step_size": 40}}, "micro.feature_step_size: is 40"),
        ({"micro": {"minimum_esphome_version": "2024.7"}}, "a full version such as 2024.7.0"),
        ({"model": "\ud800"}, "model: is"),
    ],
)
def test_a_manifest_is_refused_for_its_own_reason(changes: dict[str, Any], said: str) -> None:
    found = [finding.text for finding in lint_manifest(json.dumps(manifest(**changes)).encode()).findings]
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"micro": {"tensor_arena_size": 4096}}, "needs 20,320 bytes on this machine; set it to 28448"),
        ({"micro": {"tensor_arena_size": 10**9}}, "no device has that much memory"),
        ({"model": "other.tflite"}, "put the .tflite file that the manifest names beside it"),
        ({"model": "n" * 5000}, "model: cannot read"),
        ({"model": "/dev/zero"}, "is no file but a device or a pipe"),
    ],
)
def test_a_manifest_is_refused_for_what_it_says_of_the_model(
    changes: dict[str, Any], said: str, tmp_path: Path, jarvis: bytes
) -> None:
    found = fatal(write(tmp_path, manifest(**changes), jarvis))
    assert len(found) == 1
    assert said in found[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is no valid JSON"),
        ("[]", "holds no JSON object"),
        ('{"type": "micro", "type": "micro"}', "stands there twice"),
        ("[" * 100_000, "is no valid JSON"),
        ("", "is no valid JSON"),
    ],
)
def test_what_is_no_manifest_is_refused(content: str, said: str, tmp_path: Path) -> None:
    found = fatal(write(tmp_path, content, None))
    assert len(found) == 1
    assert said in found[0]


def test_warnings_do_not_keep_it_from_booting(tmp_path: Path, jarvis: bytes) -> None:
    content = manifest(micro={"probability_cutoff": 1.0, "feature_step_size": 20, "tensor_arena_size": 20_000})
    result = lint_file(write(tmp_path, {**content, "wake_word": "vad"}, jarvis))
    assert result.boots
    assert [finding.where for finding in result.findings] == [
        "micro.probability_cutoff", "micro.feature_step_size", "wake_word", "micro.tensor_arena_size",
    ]  # fmt: skip


def test_the_name_must_end_in_json(tmp_path: Path, jarvis: bytes) -> None:
    assert "ends in .json" in fatal(write(tmp_path, manifest(), jarvis, name="hey.txt"))[0]


def test_a_thousand_wrong_keys_are_not_a_thousand_lines(tmp_path: Path) -> None:
    found = fatal(write(tmp_path, {f"k{number}": 0 for number in range(50_000)}, None))
    assert "and 49990 more are no keys of a manifest" in "\n".join(found)
    assert len(found) < 25


def _softmax(model: Any) -> None:
    code = next(code for code in model.operatorCodes if code.builtinCode == Op.LOGISTIC)
    code.builtinCode = code.deprecatedBuiltinCode = litert.BuiltinOperator.SOFTMAX


def _custom(model: Any) -> None:
    code = next(code for code in model.operatorCodes if code.builtinCode == Op.LOGISTIC)
    code.builtinCode = code.deprecatedBuiltinCode = litert.BuiltinOperator.CUSTOM
    code.customCode = "Flex\x1b[31mGelu"


def _input(shape: list[int], kind: int) -> Any:
    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        tensor = graph.tensors[graph.inputs[0]]
        tensor.shape, tensor.type = shape, kind

    return change


def _output_int8(model: Any) -> None:
    graph = model.subgraphs[0]
    graph.tensors[graph.outputs[0]].type = litert.TensorType.INT8


def _two_inputs(model: Any) -> None:
    model.subgraphs[0].inputs = [0, 0]


def _call_itself(model: Any) -> None:
    once = next(operator for operator in model.subgraphs[0].operators if operator.builtinOptionsType == 103)
    once.builtinOptions.initSubgraphIndex = 0


def _short_weights(model: Any) -> None:
    graph = model.subgraphs[0]
    weights = max(
        graph.tensors, key=lambda tensor: np.prod(tensor.shape) if model.buffers[tensor.buffer].data is not None else 0
    )
    model.buffers[weights.buffer].data = model.buffers[weights.buffer].data[:100]


def _old_schema(model: Any) -> None:
    model.version = 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_softmax, "SOFTMAX: is none of the 20 operators that firmware has; end in LOGISTIC"),
        (_custom, "Flex?[31mGelu: is none of the 20 operators"),
        (_input([1, 3, 32], 9), "the input: is int8 [1, 3, 32]"),
        (_input([1, 3, 40], 0), "the input: is float32 [1, 3, 40]"),
        (_input([1, 120], 9), "the input: is int8 [1, 120]"),
        (_input([1, 2**31 - 1, 40], 9), "the input: is int8 [1, 2147483647, 40]"),
        (_output_int8, "the output: is int8 [1, 1]; firmware reads uint8 [1, 1]"),
        (_two_inputs, "the model: has 2 inputs and 1 outputs"),
        (_call_itself, "CALL_ONCE: calls subgraph 0 of 2"),
        (_short_weights, "but the file has 100 bytes of it"),
        (_old_schema, "schema version 2"),
    ],
)
def test_a_model_is_refused_for_its_own_reason(change: Any, said: str, jarvis: bytes) -> None:
    found = [finding.text for finding in lint_model(broken(jarvis, change)).findings if finding.fatal]
    assert len(found) == 1
    assert said in found[0]


def test_what_the_interpreter_refuses_is_told(jarvis: bytes) -> None:
    """All operators are known, but the sigmoid is to write 16 bits from 8."""

    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        sigmoid = next(o for o in graph.operators if model.operatorCodes[o.opcodeIndex].builtinCode == Op.LOGISTIC)
        graph.tensors[sigmoid.outputs[0]].type = litert.TensorType.INT16

    found = [finding.text for finding in lint_model(broken(jarvis, change)).findings if finding.fatal]
    assert len(found) == 1
    assert "the interpreter: TFLite-Micro does not run it: " in found[0]


def test_more_than_twenty_variables_are_refused() -> None:
    model = ModelBuilder("")
    graph = model.graph("main")
    start = graph.input("features", [1, 3, 40], Kind.INT8, quantise.MICRO_INPUT)
    for number in range(21):
        handle = graph.tensor(f"handle_{number}", [], Kind.RESOURCE)
        graph.operator(Op.VAR_HANDLE, [], [handle], variable_options(name=f"v{number}"))
    score = graph.tensor("score", [1, 1], Kind.UINT8, quantise.UNSIGNED_SCORE)
    graph.operator(Op.ADD, [start, start], [score], add_options())
    graph.outputs = [score]
    found = [finding.text for finding in lint_model(model.finish()).findings if finding.fatal]
    assert len(found) == 1
    assert "variables: it has 21 resource variables; firmware has room for 20" in found[0]


def test_our_own_writer_refuses_them_too() -> None:
    graph = MicroGraph(frames=1, bands=40)
    for number in range(21):
        graph.remember(f"ring_{number}", graph.start, steps=1)
    with pytest.raises(ValueError, match="21 resource variables"):
        graph.finish(receptive_field_frames=1)


def test_a_strange_scale_is_a_warning() -> None:
    model = ModelBuilder("")
    graph = model.graph("main")
    start = graph.input("features", [1, 3, 40], Kind.INT8, Quantisation([0.5], zero_point=0))
    graph.outputs = [graph.tensor("score", [1, 1], Kind.UINT8, quantise.UNSIGNED_SCORE)]
    assert start == 0
    findings = lint_model(model.finish()).findings
    assert any(finding.where == "the input" and not finding.fatal for finding in findings)


@pytest.mark.parametrize("length", [0, 4, 8, 20, 1_000, 30_000, 52_000])
def test_a_file_that_is_cut_off_is_refused(length: int, tmp_path: Path, jarvis: bytes) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(jarvis[:length])
    assert len(fatal(path)) == 1


def test_no_damage_crashes_the_reader(jarvis: bytes) -> None:
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(jarvis)
        for place in rng.integers(8, len(damaged), 40):
            damaged[place] = rng.integers(256)
        try:
            read_model(bytes(damaged))
        except ModelError:
            refused += 1
    assert 0 < refused < 150


def test_damage_reaches_no_further_than_the_other_process(jarvis: bytes) -> None:
    """Weights, shapes and options scrambled: whatever the interpreter makes of it, an answer comes back."""
    for seed in range(3):
        damaged = bytearray(jarvis)
        rng = np.random.default_rng(seed)
        for place in rng.integers(len(damaged) // 2, len(damaged), 200):
            damaged[place] = rng.integers(256)
        result = lint_model(bytes(damaged))
        assert all(finding.what for finding in result.findings)


def test_tables_that_lead_to_one_another_end(jarvis: bytes) -> None:
    """A list of 100,000 subgraphs that are all the same one."""
    model = litert.Model.GetRootAs(jarvis, 0)
    place = model._tab.Pos + model._tab.Offset(8)  # the field `subgraphs` of the model's table
    graph = model.Subgraphs(0)._tab.Pos
    data = bytearray(jarvis)
    start = len(data) + -len(data) % 4
    data[place : place + 4] = (start - place).to_bytes(4, "little")
    data += bytes(start - len(data)) + (100_000).to_bytes(4, "little")
    entries = np.arange(100_000, dtype=np.int64) * 4 + start + 4
    data += ((graph - entries) % 2**32).astype("<u4").tobytes()
    began = time.perf_counter()
    with pytest.raises(ModelError, match="cut off or damaged"):
        read_model(bytes(data))
    assert time.perf_counter() - began < 20


def test_the_command_says_it_in_lines_and_in_json(
    tmp_path: Path, jarvis: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    import typer

    app = typer.Typer()
    app.command()(lint)
    good = write(tmp_path, manifest(), jarvis)
    done = CliRunner().invoke(app, [os.fspath(good)])
    assert done.exit_code == 0
    assert done.stdout.rstrip().endswith("hey.json: boots")
    bad = write(tmp_path, manifest(version=1), jarvis, name="bad.json")
    done = CliRunner().invoke(app, [os.fspath(bad)])
    assert done.exit_code == ModelError.exit_code == 4
    assert done.stdout.splitlines()[0] == "error: version: is 1; it must be 2"
    read = json.loads(CliRunner().invoke(app, [os.fspath(bad), "--json"]).stdout)
    assert (read["boots"], read["findings"][0]["where"], read["variables"]) == (False, "version", 6)


def test_it_needs_no_torch() -> None:
    """Who has a model from elsewhere has the extra `esphome` at most."""
    told = "import sys, wakelark.tflite.lint; print('torch' in sys.modules, 'ai_edge_litert' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_no_such_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model file"):
        lint_file(tmp_path / "nothing.json")
