"""Two budgets with a real engine, behind a template that opens reasoning in the prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cbdata.fill.row_file import read_rows
from tests.vllm.jobs import Jobs

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

TEMPLATE = """\
{%- for m in messages %}
{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"""


@pytest.mark.parametrize("backend", ["transformers", "vllm"])
def test_reasoning_has_tokens_of_its_own(backend: str, jobs: Jobs, tmp_path: Path) -> None:
    template = tmp_path / "opens.jinja"
    template.write_text(TEMPLATE)
    lines = jobs.skeletons.read_bytes().splitlines(keepends=True)
    jobs.skeletons.write_bytes(b"".join(lines[:3]))
    settings = replace(
        jobs.settings,
        backend=backend,
        chat_template=str(template),
        call_format="hermes_json",
        constrain_tool_calls=False,
        max_tokens=12,
        max_thinking_tokens=20,
    )
    jobs = replace(jobs, settings=settings, at_once=8)
    status, messages = jobs.finish(jobs.start())
    assert status == 0, messages
    rows = [dict(row) for _, row in read_rows(jobs.job().sets[0].output) if "outcomes" in row]
    assert len(rows) == 6
    for row in rows:
        generation, ids = row["raw"]["generation"], row["raw"]["completion_token_ids"]
        assert (generation["max_tokens"], generation["max_thinking_tokens"]) == (12, 20)
        # A small model that never learned to close its reasoning.
        assert "</think>" not in row["raw"]["completion"]
        expected = "thinking_truncated" if len(ids) > 20 else "malformed"
        assert row["outcomes"] == [expected]
        assert len(ids) == 32 if generation["finish_reason"] == "length" else len(ids) <= 32
    assert any(len(row["raw"]["completion_token_ids"]) == 32 for row in rows)
