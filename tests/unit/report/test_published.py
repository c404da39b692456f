"""Published rates: those of the project are read, and a rate is of one pipeline and one attack."""

from __future__ import annotations

from pathlib import Path

import pytest

from cbdata.report.published import PublishedRates, PublishedRatesError


def test_the_projects_tables_are_read(repo: Path) -> None:
    files = sorted((repo / "configs/published_rates").glob("*.json"))
    rates = PublishedRates(files)
    found = rates.attack_success("agentdojo", "gpt-4-0125-preview", None, "important_instructions")
    assert found is not None and (found.attack_success, found.utility) == (56.28, 65.98)
    assert found.source.startswith("AgentDojo's results table")


def test_a_rate_is_of_one_pipeline_and_one_attack(repo: Path) -> None:
    rates = PublishedRates([repo / "configs/published_rates/agentdojo.json"])
    model = "gpt-4o-2024-05-13"
    assert rates.attack_success("agentdojo", model, None, "ignore_previous") is None
    assert rates.attack_success("agentdyn", model, None, "important_instructions") is None
    assert rates.attack_success("agentdojo", model, "tool_filter", "important_instructions") is None
    defended = rates.utility("agentdojo", model, "tool_filter")
    assert defended is not None and defended.utility == 72.16
    assert rates.utility("agentdojo", model, None) is None


@pytest.mark.parametrize("text", ["[]", "{", '{"dataset": "x", "attack_type": "y", "source": "z"}'])
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PublishedRatesError, match=r"wrong\.json: expected dataset, attack_type"):
        PublishedRates([path])
