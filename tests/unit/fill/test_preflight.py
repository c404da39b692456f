"""The checks before a model is loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cbdata.fill.backends.vllm_backend import VllmBackend
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
        skeletons=str(tmp_path / "none.jsonl"),
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
    with pytest.raises(PreflightError, match=r"vllm cannot be imported.*use_vllm=false"):
        preflight(job, VllmBackend())
