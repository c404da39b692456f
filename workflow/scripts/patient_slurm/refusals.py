"""What ``sbatch`` says when it takes no job: whether to wait, to give the run up, or neither."""

from __future__ import annotations

import re
from enum import Enum


class Refusal(Enum):
    """What a refused submission means for the run."""

    TEMPORARY = "temporary"
    """The same submission will be taken later, without anything being changed."""
    UNCERTAIN = "uncertain"
    """Temporary, and the controller may have taken the job without the answer getting through."""
    PERMANENT = "permanent"
    """No job of this run will be taken before somebody changes a setting."""
    OF_THIS_JOB = "of this job"
    """All else: the job's own request, or words nobody knows. It counts as a failed try."""


# The words are those of SLURM's table of errors (slurm_errno.c) and of its names for limits
# (job_reason_str), which sbatch prints in a line before it.
_PERMANENT = re.compile(
    r"invalid account|invalid partition|invalid qos|invalid user id|invalid cluster|invalid wckey"
    r"|requested reservation is invalid|access denied to requested reservation"
    r"|not permitted to use this partition"
    r"|access/permission denied"
    # Words of the plugin, which asks sacctmgr for the account before it submits.
    r"|account \S+ appears to be invalid",
    re.IGNORECASE,
)
_UNCERTAIN = re.compile(
    # "(receive failure)" is what a lost answer of the controller is called.
    r"\((?:receive|shutdown) failure\)|timed out on send/recv|zero bytes were transmitted"
    r"|message receive failure|communication shutdown failure|unexpected message received"
    r"|connection reset by peer|insane message length"
    # What breaks a connection may do so behind the request, too.
    r"|message send failure|connection timed out|no route to host|network is unreachable",
    re.IGNORECASE,
)
_TEMPORARY = re.compile(
    # AssocMaxSubmitJobLimit, AssocGrpSubmitJobsLimit, QOSMaxSubmitJobPerUserLimit and their kind:
    # how many jobs may be in the queue. Limits of a job's size or time never pass by waiting.
    r"\b(?:assoc|qos)\w*submit\w*"
    r"|unable to contact slurm controller|connection refused|communication connection failure"
    # A site whose nodes have their configuration from the controller, and names from a server.
    r"|could not establish a configuration source|temporary failure in name resolution"
    # munged is started anew, or a clock is off.
    r"|munge (?:encode|decode) failed|protocol authentication error"
    # The controller's disk is full.
    r"|i/o error writing script/environment"
    r"|temporarily (?:unable|unavailable)|standby mode|slurmdbd? (?:is )?(?:down|unavailable)"
    r"|job queue (?:is )?full|queue full|slurm job queue full"
    # A partition that is DOWN, DRAIN or INACTIVE.
    r"|partition not available|partition configuration not available|partition is in \w+ state"
    r"|node not available \(down, drained or reserved\)",
    re.IGNORECASE,
)


def refusal_of(words: str) -> Refusal:
    """Which kind of refusal it is; where several are named, the one that lasts longest counts."""
    for pattern, refusal in (
        (_PERMANENT, Refusal.PERMANENT),
        (_UNCERTAIN, Refusal.UNCERTAIN),
        (_TEMPORARY, Refusal.TEMPORARY),
    ):
        if pattern.search(words):
            return refusal
    return Refusal.OF_THIS_JOB


def own_words(message: str) -> str:
    """What the site's ``sbatch`` said, of the plugin's whole message, which also holds the call."""
    said = re.search(r"The error message was '(.*)'\.\n {4}sbatch call:", message, re.DOTALL)
    return (said.group(1) if said else message).strip()
