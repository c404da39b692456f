"""A model whose calls nothing can read stops the run before its first job."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow.conftest import Snakemake

pytestmark = pytest.mark.workflow

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}: {{ m.content }}"
    "{% for c in m.tool_calls or [] %}<<{{ c.function.name }}>>{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant: {% endif %}"
)


def test_an_unknown_notation_is_told_before_any_job(
    snakemake: Snakemake, repo: Path, demo_model: Path, tmp_path: Path
) -> None:
    template = tmp_path / "own.jinja"
    template.write_text(TEMPLATE)
    config = {
        "fujitsu_b4_path": repo / "config/demo/fujitsu_b4.jsonl",
        "output_base": tmp_path / "data",
        "log_dir": tmp_path / "logs",
        "model": demo_model,
        "tokenizer": demo_model,
        "chat_template": template,
    }
    found = snakemake("--nolock", "--profile", "profiles/local", "fill", config=config, check=False)
    assert found.status != 0
    assert "no call format reads its calls back exactly" in found.output
    assert "Hint: set call_format to one of" in found.output
    assert "Traceback" not in found.output and not (tmp_path / "data/traces").exists()
    other = snakemake("-n", "fill", config={**config, "call_format": "any"}, check=False)
    assert other.status != 0 and "call_format: 'any' is not allowed" in other.output
