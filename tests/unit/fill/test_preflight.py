"""The checks before a model is loaded."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from cbdata.fill.backends import vllm_backend
from cbdata.fill.backends.transformers_backend import TransformersBackend
from cbdata.fill.backends.vllm_backend import VllmBackend
from cbdata.fill.devices import HELD_COUNTS, HELD_LISTS
from cbdata.fill.job import FillJob
from cbdata.fill.preflight import PreflightError, preflight
from tests.unit.fill.world import ToyBackend


def test_preflight_passes_what_is_there(job: FillJob, model_folder: Path) -> None:
    found, _ = preflight(job, ToyBackend())
    assert found.model.path == model_folder and "search_web" in found.tools.names
    assert (found.calls.settled.call_format, found.calls.grammar) == ("hermes_json", None)


def test_preflight_settles_the_call_format(job: FillJob, model_folder: Path) -> None:
    template = model_folder / "own.jinja"
    template.write_text(
        "{% for m in messages %}{{ m.role }}: {{ m.content }}"
        "{% for c in m.tool_calls or [] %}<<{{ c.function.name }}>>{% endfor %}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    )
    settings = replace(job.settings, chat_template=str(template))
    with pytest.raises(PreflightError, match="no call format reads its calls back exactly"):
        preflight(replace(job, settings=settings), ToyBackend())
    named = replace(settings, call_format="glm")
    found, _ = preflight(replace(job, settings=named), ToyBackend())
    assert found.calls.settled.call_format == "glm"
    held = replace(named, constrain_tool_calls=True)
    with pytest.raises(PreflightError, match=r"the call format glm has no grammar.*Fix"):
        preflight(replace(job, settings=held), ToyBackend())


def test_preflight_names_every_problem_at_once(job: FillJob, tmp_path: Path) -> None:
    broken = replace(
        job,
        sets=[*job.sets, replace(job.sets[0], skeletons=str(tmp_path / "none.jsonl"))],
        tool_schema=str(tmp_path / "none.json"),
        settings=replace(job.settings, model="org/name"),
        runtime=replace(job.runtime, cache_dir=str(tmp_path)),
    )
    with pytest.raises(PreflightError) as caught:
        preflight(broken, ToyBackend())
    for part in ("make cache-model MODEL=org/name", "none.json", "none.jsonl"):
        assert part in str(caught.value)
    with pytest.raises(PreflightError, match=r"more than the model's own 2048"):
        preflight(replace(job, settings=replace(job.settings, max_model_len=4096)), ToyBackend())


def test_preflight_tells_the_backends_problem(
    job: FillJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PreflightError, match=r"vllm cannot be imported.*backend=transformers"):
        preflight(job, VllmBackend())


@pytest.fixture
def cpu_build(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU build of vLLM on a machine whose environment names no GPU."""
    monkeypatch.setattr(vllm_backend, "vllm_version", lambda: ("0.32.0", True))
    for name in (*HELD_LISTS, *HELD_COUNTS):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("cpu_build")
def test_a_laptop_without_a_gpu_needs_no_flag_and_the_log_names_the_engine(
    job: FillJob, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        found, _ = preflight(job, VllmBackend())
    assert found.device == "cpu"
    (line,) = [record.message for record in caplog.records if record.message.startswith("engine:")]
    assert "vLLM 0.32.0 (CPU build) on" in line and "tensor_parallel 1" in line
    assert "(dtype: auto)" in line and "holds a GPU" not in caplog.text


@pytest.mark.usefixtures("cpu_build")
@pytest.mark.parametrize("shown_by", ["SLURM_JOB_GPUS", "CUDA_VISIBLE_DEVICES", "rule"])
def test_a_cpu_engine_in_a_job_that_holds_a_gpu_is_refused_unless_it_is_wanted(
    job: FillJob,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    shown_by: str,
) -> None:
    if shown_by == "rule":
        job = replace(job, gpus=1)
    else:
        monkeypatch.setenv(shown_by, "0")
    with pytest.raises(PreflightError, match=r"CPU build.*make setup-gpu.*engine_device=cpu"):
        preflight(job, VllmBackend())
    wanted = replace(job, runtime=replace(job.runtime, engine_device="cpu"))
    preflight(wanted, VllmBackend())
    assert "that it does not use: engine_device=cpu" in caplog.text


def test_options_that_the_engine_has_not_are_told_before_it_is_loaded(job: FillJob) -> None:
    wrong = replace(job, settings=replace(job.settings, engine_args={"max_seqs": 1}))
    with pytest.raises(PreflightError, match="'max_seqs' is no argument of vLLM"):
        preflight(wrong, VllmBackend())
    with pytest.raises(PreflightError, match="engine_args: the transformers backend has no such"):
        preflight(wrong, TransformersBackend())
