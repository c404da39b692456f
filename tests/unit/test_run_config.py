"""The file in which a run's configuration reaches its jobs."""

from __future__ import annotations

import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake_interface_executor_plugins.utils import format_cli_arg

from cbdata.config import ConfigError, resolve_config
from cbdata.run_config import RunConfig, named_run_config, read_run_config

PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)


DEFAULTS = resolve_config({}, environ={})


def config_of(folder: Path, **keys: object) -> dict[str, object]:
    return {**DEFAULTS, "output_base": str(folder / "data"), **keys}


@given(
    suffix=st.text(st.characters(codec="utf-8")),
    kwargs=st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers() | st.booleans()),
)
@settings(max_examples=30, deadline=None)
def test_every_configuration_comes_back_as_it_was(suffix: str, kwargs: dict) -> None:
    with tempfile.TemporaryDirectory() as folder:
        config = config_of(Path(folder), ds_system_suffix=suffix, chat_template_kwargs=kwargs)
        run = RunConfig.of(config)
        run.save()
        assert read_run_config(run.path) == config


@given(PATHS)
@settings(max_examples=30, deadline=None)
def test_the_word_of_a_job_passes_the_shells_of_a_cluster(name: str) -> None:
    """Quoted by Snakemake, then in ``--wrap="..."`` as the SLURM plugin has it, then in the job's
    own shell.
    """
    path = Path("/") / name
    command = f"printf %s {format_cli_arg('--config', [RunConfig(path, '').word])}"
    escaped = command.replace('"', '\\"')
    done = subprocess.run(f'sh -c "{escaped}"', shell=True, capture_output=True, check=True)
    assert named_run_config([done.stdout.decode().removeprefix("--config")]) == path


def test_words_of_a_user_name_no_file() -> None:
    assert named_run_config([]) is None
    assert named_run_config(["mode=ds"]) is None
    assert named_run_config(["run_config=abcd", "mode=ds"]) is None


def test_the_name_follows_the_content(tmp_path: Path) -> None:
    one, same = (RunConfig.of(config_of(tmp_path, seed=1)) for _ in range(2))
    other = RunConfig.of(config_of(tmp_path, seed=2))
    assert one == same and one.path != other.path
    assert one.path.parent == other.path.parent == tmp_path / "data/run_configs"


def test_a_file_that_is_there_is_left_alone(tmp_path: Path) -> None:
    run = RunConfig.of(config_of(tmp_path))
    run.save()
    before = run.path.stat()
    run.save()
    assert run.path.stat().st_mtime_ns == before.st_mtime_ns
    assert run.path.stat().st_ino == before.st_ino


def test_runs_that_write_it_at_once(tmp_path: Path) -> None:
    run = RunConfig.of(config_of(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: run.save(), range(32)))
    assert [path.name for path in run.path.parent.iterdir()] == [run.path.name]
    assert read_run_config(run.path) == config_of(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", '{"mode": "ds"}'])
def test_a_file_that_was_changed_is_refused_and_written_anew(tmp_path: Path, text: str) -> None:
    run = RunConfig.of(config_of(tmp_path))
    run.save()
    run.path.write_text(text)
    with pytest.raises(ConfigError, match="changed since it was written"):
        read_run_config(run.path)
    run.save()
    assert read_run_config(run.path) == config_of(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    run = RunConfig.of(config_of(tmp_path))
    with pytest.raises(ConfigError, match=r"\.json: No such file.*without --no-hooks"):
        read_run_config(run.path)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("caf\udce9", "not valid UTF-8"),
        ({1: "a"}, "must be texts"),
        ({"a": float("inf")}, "Out of range"),
        ({"a": {1, 2}}, "not JSON serializable"),
    ],
)
def test_what_would_not_come_back_is_refused(tmp_path: Path, value: object, says: str) -> None:
    with pytest.raises(ConfigError, match=f"chat_template_kwargs.*{says}"):
        RunConfig.of(config_of(tmp_path) | {"chat_template_kwargs": value})
