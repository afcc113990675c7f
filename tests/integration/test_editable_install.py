"""`pip install --editable` of the clone, as `make demo` does it: what finds seqd then."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import pytest

from checkout import ROOT
from seqd.cli.plugins.new_distribution import Distribution

pytestmark = pytest.mark.slow

#: What a newcomer writes beside the clone.
SCRIPT = """
import seqd.client
import seqd.plugin
import seqd_schemas

print(seqd.client.__file__, seqd.plugin.__name__, seqd_schemas.__name__)
"""


def environment() -> Mapping[str, str]:
    left_out = ("PYTHONPATH", "PYTHONSAFEPATH", "MYPYPATH")
    return {name: value for name, value in os.environ.items() if name not in left_out}


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an interpreter with the clone, a new plugin of the folder `hello`, and no network."""
    folder = tmp_path_factory.mktemp("newcomer")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    site = folder / "venv" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    # Libraries, and no `.pth` file of theirs: so not the seqd that runs the tests.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    Distribution("hello", "classify", "function").write(folder / "hello")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    editable = [f"--editable={source}" for source in (ROOT, folder / "hello")]
    done = subprocess.run(
        [*pip, "--no-index", "--no-deps", "--no-build-isolation", *editable],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture
def beside_the_clone(tmp_path: Path) -> Path:
    """Return a folder with a clone that is called `seqd`, and a script."""
    (tmp_path / "seqd").symlink_to(ROOT)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def test_a_script_beside_a_clone_named_seqd_imports_it(python: Path, beside_the_clone: Path):
    done = subprocess.run(
        [python, "script.py"],
        cwd=beside_the_clone,
        env=environment(),
        capture_output=True,
        text=True,
    )

    assert done.stderr == ""
    assert done.stdout.split()[0] == str(ROOT / "daemon" / "seqd" / "client" / "__init__.py")


def test_nothing_of_the_install_is_an_import_hook(python: Path, tmp_path: Path):
    program = "import sys; print([one for one in sys.meta_path if 'Editable' in str(one)])"

    done = subprocess.run(
        [python, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )

    assert done.stdout == "[]\n"


@pytest.mark.long
@pytest.mark.parametrize("checker", ["mypy", "basedpyright"])
def test_type_checkers_follow_seqd_and_a_new_plugin(
    python: Path, beside_the_clone: Path, checker: str
):
    (beside_the_clone / "script.py").write_text(
        f"import seqd_hello\n{SCRIPT}\nprint(seqd_hello.__name__)\n"
    )
    named = (
        ["--python-executable", str(python)] if checker == "mypy" else ["--pythonpath", str(python)]
    )

    done = subprocess.run(
        [Path(sys.executable).parent / checker, *named, "script.py"],
        cwd=beside_the_clone,
        env=environment(),
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
