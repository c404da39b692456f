"""What SLURM's words mean for a submission. The words are those that sbatch 23 to 25 prints."""

from __future__ import annotations

import pytest

from patient_slurm.refusals import Refusal, own_words, refusal_of

FAILED = "sbatch: error: Batch job submission failed: "


@pytest.mark.parametrize(
    "words",
    [
        f"sbatch: error: AssocMaxSubmitJobLimit\n{FAILED}Job violates accounting/QOS policy",
        f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{FAILED}Job violates accounting/QOS policy",
        f"sbatch: error: AssocGrpSubmitJobsLimit\n{FAILED}Job violates accounting/QOS policy",
        f"{FAILED}Unable to contact slurm controller (connect failure)",
        f"{FAILED}Required partition not available (inactive or drain)",
        f"{FAILED}Requested partition configuration not available now",
        f"{FAILED}Resource temporarily unavailable",
        f"{FAILED}Slurm backup controller in standby mode",
        f"{FAILED}Required node not available (down, drained or reserved)",
        f"{FAILED}I/O error writing script/environment to file",
        "sbatch: fatal: Could not establish a configuration source",
        f"sbatch: error: Munge encode failed\n{FAILED}Protocol authentication error",
        f"sbatch: error: Temporary failure in name resolution\n{FAILED}Unspecified error",
        "The 'sacctmgr' reported: 'Unable to test the validity: error: Connection refused'",
    ],
)
def test_what_passes_is_waited_for(words: str) -> None:
    assert refusal_of(words) is Refusal.TEMPORARY


@pytest.mark.parametrize(
    "words",
    [
        f"{FAILED}Socket timed out on send/recv operation",
        f"{FAILED}Message send failure",
        f"{FAILED}Unable to contact slurm controller (connect failure): Connection timed out",
        f"{FAILED}Zero Bytes were transmitted or received",
        f"{FAILED}Unable to contact slurm controller (receive failure)",
        f"{FAILED}Communication shutdown failure",
        f"{FAILED}Connection reset by peer",
    ],
)
def test_an_answer_that_got_lost_may_have_been_a_yes(words: str) -> None:
    assert refusal_of(words) is Refusal.UNCERTAIN


@pytest.mark.parametrize(
    "words",
    [
        f"{FAILED}Invalid account or account/partition combination specified",
        f"sbatch: error: invalid partition specified: a\n{FAILED}Invalid partition name specified",
        f"{FAILED}Invalid qos specification",
        f"{FAILED}User's group not permitted to use this partition",
        f"{FAILED}Account not permitted to use this partition",
        f"{FAILED}Invalid wckey specification",
        f"{FAILED}Requested reservation is invalid",
        f"{FAILED}Access denied to requested reservation",
        "The given account def-nobody appears to be invalid. Available accounts:\ndef-mygroup",
    ],
)
def test_what_no_job_of_the_run_can_have_ends_it(words: str) -> None:
    assert refusal_of(words) is Refusal.PERMANENT


@pytest.mark.parametrize(
    "words",
    [
        f"{FAILED}Requested node configuration is not available",
        f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{FAILED}Job violates accounting/QOS policy",
        f"sbatch: error: AssocMaxGRESPerJob\n{FAILED}Job violates accounting/QOS policy",
        f"{FAILED}Memory required by task is not available",
        "sbatch: unrecognized option '--nosuch'",
        "",
    ],
)
def test_a_jobs_own_request_and_unknown_words_are_a_failed_try(words: str) -> None:
    assert refusal_of(words) is Refusal.OF_THIS_JOB


def test_the_call_that_the_plugin_repeats_decides_nothing() -> None:
    message = (
        "SLURM sbatch failed. The error message was 'sbatch: error: it's full'.\n"
        "    sbatch call:\n        sbatch -p 'invalid partition' --wrap=\"invalid account\"\n"
    )
    assert own_words(message) == "sbatch: error: it's full"
    quoted = "you asked for 'gpu'.\nsbatch: error: Invalid account"
    assert own_words(message.replace("it's full", quoted)) == f"sbatch: error: {quoted}"
    assert refusal_of(own_words(message)) is Refusal.OF_THIS_JOB
