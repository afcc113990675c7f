"""Clauses I1, O1 and O3, on every model's description, and that no model went unchecked."""

import json
import subprocess
import sys
from contextlib import contextmanager

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from conformance.conftest import BESIDES, some_items
from conformance.made_records import with_record
from seqd.errors import InvalidParameters
from seqd.models.task_schemas import task_schema
from seqd.parameters import check_parameters
from seqd_schemas import PluginState

CLAUSES = {"a1", "b1", "b2", "b3", "c1", "d1", "i1", "m1", "o1", "o2", "o3", "s1", "t1"}

#: Imports one plugin with everything else imported before, and reports what it opened.
WATCHED_IMPORT = """
import importlib, json, sys
from seqd.models.registry import Registry
opened = []
def note(event, arguments):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.mkdir", "os.system"):
        opened.append(event)
    if event == "open" and not str(arguments[0]).endswith((".py", ".pyc")):
        if "__pycache__" not in str(arguments[0]):
            opened.append(f"open {arguments[0]}")
sys.path += sys.argv[2:]
sys.addaudithook(note)
module = importlib.import_module(sys.argv[1])
models = list(module.seqd_register_models())
seen = list(opened)
heavy = sorted({"keras", "tensorflow", "torch", "jax", "onnxruntime"} & sys.modules.keys())
print(json.dumps({"models": [m.name for m in models], "opened": seen, "heavy": heavy}))
"""


def bounds(model):
    """Yield (task, parameter, bound, step beyond it) for each numeric bound of a model."""
    for task, spec in model.tasks.items():
        for name, field in spec.parameters.model_json_schema().get("properties", {}).items():
            for bound, beyond in (("minimum", -1), ("maximum", 1)):
                if bound in field:
                    yield task, name, field[bound], beyond


@contextmanager
def refused(otherwise):
    """Expect a refusal of parameters; `otherwise` says what is wrong where there is none."""
    try:
        yield
    except ValidationError:
        return
    pytest.fail(otherwise)


def test_i1_importing_and_describing_opens_nothing_and_loads_nothing_heavy(model, registry):
    package = type(model).__module__.partition(".")[0]

    done = subprocess.run(
        [sys.executable, "-c", WATCHED_IMPORT, package, *BESIDES],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, f"I1: {package} cannot be imported by itself: {done.stderr}"
    report = json.loads(done.stdout)
    assert model.name in report["models"], (
        f"I1: importing {package} and asking it for its models gives {report['models']}; "
        f"{model.name} must be among them, each time"
    )
    assert report["opened"] == [], (
        f"I1: importing and describing {package} opens {report['opened']}; open files inside "
        "load() or train()"
    )
    assert report["heavy"] == [], (
        f"I1: importing and describing {package} imports {report['heavy']}; import them inside "
        "load() or train(), in a module of their own"
    )


def test_o1_a_value_beyond_a_bound_is_refused_by_class_and_schema(model):
    checked = 0
    for task, name, bound, beyond in bounds(model):
        parameters = model.tasks[task].parameters
        wrong = {name: bound + beyond}

        with refused(f"O1: {task} takes {wrong}, beyond a bound that its schema states"):
            parameters.model_validate(wrong)
        with pytest.raises(InvalidParameters, match=f"'{name}' is .*; allowed: "):
            check_parameters(parameters.model_json_schema(), wrong, model=model.name, task=task)
        checked += 1

    assert checked or not any(spec.parameters.model_fields for spec in model.tasks.values())


def test_o1_an_unknown_parameter_is_refused_with_the_known_ones(model):
    for task, spec in model.tasks.items():
        wrong = {"no_such_parameter": 1}

        with refused(f"O1: {task} takes {wrong}; derive its class from PluginParameters"):
            spec.parameters.model_validate(wrong)
        with pytest.raises(InvalidParameters) as refusal:
            schema = spec.parameters.model_json_schema()
            check_parameters(schema, wrong, model=model.name, task=task)

        assert all(name in str(refusal.value) for name in spec.parameters.model_fields)


def test_o1_every_parameter_is_described(model):
    silent = [
        f"{task}.{name}"
        for task, spec in model.tasks.items()
        for name, field in spec.parameters.model_fields.items()
        if not field.description
    ]

    assert not silent, f"O1: give a Field(description=...) to {', '.join(silent)}"


def test_o3_what_a_task_takes_and_gives_is_published_as_json_schemas(model):
    for task, spec in model.tasks.items():
        if spec.output is None:
            continue
        published = task_schema(spec)
        assert published.digest, f"O3: {task} publishes no digest of its schemas"
        for schema in filter(None, (published.input, published.result)):
            Draft202012Validator.check_schema(schema)
        assert spec.summary, f"O3: say in TaskSpec(summary=...) what {task} does"


def test_o3_a_record_with_an_unknown_field_is_refused(model):
    for task, spec in model.tasks.items():
        if spec.input is None:
            continue
        made = with_record(some_items(1)[0], spec.input)
        assert made is not None, (
            f"O3: no record of {spec.input.__name__} could be made by the schema of {task}; give "
            'model_config = ConfigDict(json_schema_extra={"examples": [...]})'
        )
        wrong = {**made.record.model_dump(), "no_such_field": 1}

        with refused(f"O3: {task} takes a field that its record does not declare"):
            spec.input.model_validate(wrong)


def test_every_installed_plugin_is_ready_and_its_models_are_checked(registry):
    reasons = {status.name: status.reason for status in registry.statuses}
    states = {status.name: status.state for status in registry.statuses}

    assert set(states.values()) == {PluginState.READY}, reasons
    assert {"char_lstm", "imdb_lstm", "markov", "length", "ngrams"} <= registry.models.keys()


def test_every_clause_has_a_check(request):
    tests = "".join(
        path.read_text(encoding="utf-8") for path in request.path.parent.glob("test_*.py")
    )

    assert {clause for clause in CLAUSES if f"def test_{clause}_" in tests} == CLAUSES
