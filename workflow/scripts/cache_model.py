"""Download a model into cache_dir on a machine with network access, for jobs that run without:
``make cache-model MODEL=org/name``.
"""

from __future__ import annotations

import argparse
import logging
import sys

from cbdata.config import resolve_config
from cbdata.fill.models import ModelMissing, find_model
from cbdata.hub import sign_in
from cbdata.logs import configure_logging


def main(arguments: list[str] | None = None) -> int:
    """Return the exit status: 0 if the model is there, 1 if it cannot be had."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="Hugging Face id such as meta-llama/Llama-3.1-8B-Instruct")
    parser.add_argument("--revision", help="commit, tag or branch; the newest main if left out")
    parser.add_argument(
        "--cache-dir",
        help="default: the pipeline's cache_dir ($CB_SCRATCH/cache/hf, or scratch/cache/hf)",
    )
    options = parser.parse_args(arguments)
    configure_logging(None)
    cache_dir = options.cache_dir or resolve_config({})["cache_dir"]
    try:
        model = find_model(options.model, options.revision, cache_dir, offline=False)
    except ModelMissing as error:
        logging.error("%s. A gated model needs %s first", error, sign_in())
        return 1
    print(
        f"{options.model} is at {model.path} (commit {model.commit}, context {model.context}"
        " tokens)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
