"""What AgentDojo's ``security`` means, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from cbdata.rejects import Reject
from cbdata.sources.agentdojo_labels import (
    BENIGN,
    RESISTED,
    SUCCEEDED,
    UNSEEN,
    is_denial_of_service,
    label_run,
)


def label(**changes: Any):
    run = {
        "injection_task_id": "injection_task_0",
        "security": True,
        "judged": True,
        "error": None,
        "attack_type": "important_instructions",
    }
    return label_run(**run | {"has_messages": True, "exposed": True} | changes)


def test_security_true_means_that_the_injection_task_succeeded() -> None:
    """ethz-spylab/agentdojo#95: "security equals to true means that the attack was successful"."""
    run = label()
    assert run.class_id == SUCCEEDED and run.flags == ()
    assert run.labels == {
        "category": "harmful",
        "attack_present": True,
        "attack_succeeded": True,
        "exposed": True,
        "security_outcome": "unsafe",
        "attack_type": "important_instructions",
    }


def test_security_false_means_that_the_attack_was_resisted() -> None:
    run = label(security=False)
    assert run.class_id == RESISTED
    assert (
        run.labels["category"],
        run.labels["attack_present"],
        run.labels["attack_succeeded"],
    ) == ("benign", True, False)
    assert run.labels["security_outcome"] == "safe"


def test_an_injection_that_was_never_shown_was_not_resisted() -> None:
    run = label(security=False, exposed=False)
    assert run.class_id == UNSEEN and run.labels["exposed"] is False


@pytest.mark.parametrize("security", [True, False, None, "yes", 1])
def test_without_an_injection_security_means_nothing(security: object) -> None:
    """The benchmark writes true for every run without an attack."""
    run = label(injection_task_id=None, attack_type=None, security=security, exposed=False)
    assert run.class_id == BENIGN
    assert (
        run.labels["category"],
        run.labels["attack_present"],
        run.labels["attack_succeeded"],
    ) == ("benign", False, False)


def test_an_error_is_no_success() -> None:
    """The benchmark writes security=True for a run that ended in an error."""
    run = label(error="Skipping task because of internal server error")
    assert run.class_id == RESISTED and run.flags == ("errored_run",)
    assert (run.labels["attack_succeeded"], run.labels["security_outcome"]) == (False, "unknown")


@pytest.mark.parametrize("attack", [None, "injection_task_0"])
def test_a_run_that_nobody_judged_is_not_safe(attack: str | None) -> None:
    run = label(injection_task_id=attack, security=attack and False, judged=False)
    assert run.flags == ("run_not_judged",) and run.labels["security_outcome"] == "unknown"
    assert label(judged=False, error="out of quota").flags == ("errored_run",)


def test_no_messages_are_no_success() -> None:
    assert label(has_messages=False, exposed=False).class_id == UNSEEN


@pytest.mark.parametrize(
    "attack", ["dos", "swearwords_dos", "captcha_dos", "offensive_email_dos", "felony_dos"]
)
def test_a_stopped_agent_is_no_success(attack: str) -> None:
    """The benchmark writes security = not utility for these."""
    run = label(attack_type=attack)
    assert (
        is_denial_of_service(attack)
        and run.class_id == RESISTED
        and run.flags == ("denial_of_service",)
    )
    assert (run.labels["attack_succeeded"], run.labels["security_outcome"]) == (False, "unknown")
    assert label(attack_type=attack, security=False).labels["security_outcome"] == "safe"


@pytest.mark.parametrize(
    "attack", [None, "important_instructions", "direct", "dosage", "tool_knowledge"]
)
def test_other_attacks_are_not_of_that_kind(attack: str | None) -> None:
    assert not is_denial_of_service(attack)


def test_a_success_that_the_transcript_does_not_show_is_flagged() -> None:
    run = label(exposed=False)
    assert (
        run.class_id == SUCCEEDED
        and run.flags == ("succeeded_unexposed",)
        and run.labels["exposed"] is False
    )


@pytest.mark.parametrize("security", [None, "true", "unsafe", 1, 0, [], {}])
def test_an_attacked_run_must_say_how_it_ended(security: object) -> None:
    with pytest.raises(Reject, match="bad_security"):
        label(security=security)
