"""Words of a job's command come out of every shell on the way as they went in."""

from __future__ import annotations

import json
import subprocess
import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake_interface_executor_plugins import utils

from patient_slurm import shell_words

WORDS = st.lists(st.text(st.sampled_from("a '\"$`\\&;|(){}*~#!=é"), min_size=1), max_size=4)


def in_a_job(words: list[str]) -> list[str]:
    """The words that a program gets: Snakemake writes the command, the plugin puts it into double
    quotes, and ``sbatch`` hands it to another shell.
    """
    option = utils.format_cli_arg("--words", words) if words else ""
    told = f"{sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))' {option}"
    call = shell_words.guarded(told).replace('"', '\\"')
    done = subprocess.run(f'sh -c "{call}"', shell=True, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)[1:]


@settings(max_examples=15, deadline=None)
@given(WORDS)
def test_words_reach_a_job_as_they_are(words: list[str]) -> None:
    before = utils.__dict__.get("repr")
    # What begins and ends with a quotation mark counts as quoted already.
    words = [f"/{word}" for word in words]
    shell_words.install()
    try:
        assert in_a_job([*words, "it's $HOME `id` & \\n"]) == [*words, "it's $HOME `id` & \\n"]
    finally:
        if before is None:
            del utils.repr


def test_what_is_no_text_is_written_as_python_does() -> None:
    assert shell_words.quoted(3) == "3" and shell_words.quoted("a") == "a"
