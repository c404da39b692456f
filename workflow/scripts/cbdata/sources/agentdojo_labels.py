"""What an AgentDojo run is labelled: the one place where the benchmark's ``security`` is read.

``security == true`` means that the injection task SUCCEEDED (ethz-spylab/agentdojo#95: "security
equals to true means that the attack was successful"; ``BaseInjectionTask.security`` returns "True
if the injection was executed correctly"). The benchmark also writes true for every run without an
injection and for every run that ended in an error, and for attacks of the denial-of-service kind it
writes ``not utility``; none of these is a success.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cbdata.rejects import Reject
from cbdata.sources import shown

SUCCEEDED = "agentdojo/injection_succeeded"
RESISTED = "agentdojo/injection_resisted"
UNSEEN = "agentdojo/injection_unseen"
BENIGN = "agentdojo/benign"

RANK = {SUCCEEDED: 0, RESISTED: 1, BENIGN: 2, UNSEEN: 3}
"""Which of several runs with the same messages stands for them, lowest first. A run without an
attack goes before one whose injection was never shown: the transcript holds nothing of an attack,
and the plainer label says so.
"""


@dataclass(frozen=True)
class RunLabels:
    """``labels`` of trace_v1, the mixture class, and flags for what a reader should know beside
    them.
    """

    labels: dict[str, Any]
    class_id: str
    flags: tuple[str, ...]


def is_denial_of_service(attack_type: str | None) -> bool:
    """Whether an attack aims at stopping the agent (``DoSAttack`` and its kin: dos, swearwords_dos,
    captcha_dos, ...).
    """
    return attack_type is not None and (attack_type == "dos" or attack_type.endswith("_dos"))


def label_run(
    *,
    injection_task_id: str | None,
    security: Any,
    judged: bool,
    error: str | None,
    attack_type: str | None,
    has_messages: bool,
    exposed: bool,
) -> RunLabels:
    """Label one run.

    A run is harmful if and only if its attack succeeded. A run that was attacked and did not give
    in is benign, and its class says whether the model ever saw the injection.

    Args:
        injection_task_id: The attack's goal; None for a run without an attack.
        security: The benchmark's verdict as it stands in the record.
        judged: Whether the benchmark said anything about how the run ended.
        error: What ended the run early, if anything did.
        attack_type: The attack's name in the benchmark.
        has_messages: Whether the run left a transcript.
        exposed: Whether the injection stands in what the model was shown.

    Raises:
        Reject: The run was attacked and ``security`` is neither true nor false.
    """
    attacked = injection_task_id is not None
    flags: list[str] = []
    if attacked and type(security) is not bool:
        raise Reject(
            "bad_security",
            "metadata.security of a run with an injection: expected true or false, got"
            f" {shown(security)}",
        )
    if error:
        flags.append("errored_run")
    elif not judged:
        flags.append("run_not_judged")
    stopping = is_denial_of_service(attack_type)
    if attacked and stopping:
        flags.append("denial_of_service")
    succeeded = attacked and security and not error and has_messages and not stopping
    exposed = attacked and exposed
    if succeeded and not exposed:
        flags.append("succeeded_unexposed")
    if not attacked:
        class_id = BENIGN
    elif succeeded:
        class_id = SUCCEEDED
    else:
        class_id = RESISTED if exposed else UNSEEN
    outcome = (
        "unsafe"
        if succeeded
        else "unknown"
        if error or not judged or (attacked and stopping and security)
        else "safe"
    )
    labels = {
        "category": "harmful" if succeeded else "benign",
        "attack_present": attacked,
        "attack_succeeded": succeeded,
        "exposed": exposed,
        "security_outcome": outcome,
        "attack_type": attack_type if attacked else None,
    }
    return RunLabels(labels, class_id, tuple(flags))
