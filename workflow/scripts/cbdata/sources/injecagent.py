"""InjecAgent's test cases to skeletons of one call, with their own tools.

Source: uiuc-kang-lab/InjecAgent, ``data/test_cases_{dh,ds}_{base,enhanced}.json`` and
``data/tools.json``. A case has the user's instruction, the call that follows it, and the tool's
response with the attacker's instruction in it; in the enhanced setting a sentence that overrides
all others stands before that. Its template, with ``<Attacker Instruction>`` in the place of the
attack, says to the character where the attack stands, and is what remains without it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from cbdata.progress import Progress
from cbdata.rejects import Reasons, Reject
from cbdata.sources import SourceError, shown
from cbdata.sources.files import input_files, source_names
from cbdata.sources.one_call import OneCall, Place, skeleton
from cbdata.sources.options import DEFAULTS, LoadOptions
from cbdata.sources.raw_lines import parse_object
from cbdata.sources.raw_records import read_records
from cbdata.sources.reasons import READING
from cbdata.sources.splits import Split, SplitAssigner
from cbdata.sources.spool import collecting
from cbdata.stage import StageFiles

DATASET = "injecagent"

REASONS: Reasons = {
    **READING,
    "unknown_tool": "tools.json does not have a tool of the case",
    "bad_tool_parameters": "the user tool's parameters are not an object",
    "injection_not_found": "the tool's response does not hold the attacker's instruction where its"
    " template says",
    "no_attacker_tool": "the case names no tool that the attack aims at",
}

SLOT = "<Attacker Instruction>"
TOOLS_FILE = "tools.json"
CASES_FILE = re.compile(r"test_cases_(dh|ds)_(base|enhanced)\.jsonl?(?:\.gz|\.zst)?")
FAMILIES = {"dh": "direct_harm", "ds": "data_stealing"}
TYPES = frozenset({"string", "integer", "number", "boolean", "array", "object"})

_TEXTS = ("User Tool", "User Instruction", "Tool Response", "Attacker Instruction")


def convert(
    raw: Sequence[str | Path],
    *,
    tool_schemas: Sequence[str | Path],
    split: Split,
    outputs: StageFiles,
    max_reject_fraction: float,
    options: LoadOptions = DEFAULTS,
) -> None:
    """Convert test cases to skeletons; write traces, rejects and stats, published together.

    Args:
        raw: The data folder of the benchmark, or ``tools.json`` and files of cases. Of several
            files, those that are called otherwise than the benchmark's are left out.
        tool_schemas: None: each skeleton carries the tools that its case offers, the user's and
            the attacker's.
        split: A split's name, or names with fractions that add up to 1. Fractions go by the user's
            instruction, or by the attacker's, without case, punctuation and spacing.
        outputs: Where traces, rejects and stats go.
        max_reject_fraction: The largest part of the records, 0 to 1, that may be rejected.
        options: What takes part.

    Raises:
        SourceError: No run can use the input.
        TooManyRejects: More was rejected than is allowed.
    """
    files = source_names(input_files(raw, "injecagent_path"))
    tools = load_tools([path for _, path in files if path.name == TOOLS_FILE])
    cases = [(name, path) for name, path in files if CASES_FILE.fullmatch(path.name)]
    if not cases:
        raise SourceError(
            "injecagent_path: expected test_cases_{dh,ds}_{base,enhanced}.json, found"
            f" {', '.join(name for name, _ in files[:5])}. Hint: name the folder `data` of the"
            " benchmark"
        )
    assign = SplitAssigner(split, options.split_by)
    progress = Progress("injecagent cases", files=[path for _, path in cases])
    with collecting("injecagent_skeletons", REASONS, outputs, options, max_reject_fraction) as (
        writer,
        spool,
    ):
        for name, path in cases:
            kind = CASES_FILE.fullmatch(path.name)
            setting = kind.groups() if kind else ("", "")
            for line in read_records(path):
                if not line.data and line.problem is None:
                    continue
                writer.take()
                try:
                    record = parse_object(line)
                    case = _case(record, FAMILIES[setting[0]], setting[1], tools)
                    spool.add(*skeleton(case, Place(name, line.number or 1), assign))
                except Reject as problem:
                    writer.reject(problem, file=name, line=line.number, raw=line.data)
                progress.add()
        writer.details = {
            "files": len(cases),
            "files_left_out": len(files) - len(cases) - 1,
            **spool.settle(writer),
        }
    progress.finish(f"{writer.records_out} kept")


def load_tools(files: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """The tools of the benchmark by the names that its cases call them, in the OpenAI form.

    Args:
        files: The one ``tools.json``: a list of toolkits, whose tools are called by the toolkit's
            ``name_for_model`` and their own ``name``.

    Raises:
        SourceError: There is not one such file, or it has another form.
    """
    if len(files) != 1:
        raise SourceError(
            f"injecagent_path: expected one {TOOLS_FILE}, found {len(files)}. Hint: it lies beside"
            " the test cases in the benchmark's folder `data`, and says what the tools are"
        )
    try:
        toolkits = orjson.loads(files[0].read_bytes())
        return {
            kit["name_for_model"] + tool["name"]: _tool(kit["name_for_model"], tool)
            for kit in toolkits
            for tool in kit["tools"]
        }
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise SourceError(
            f"{files[0]}: expected toolkits with name_for_model and tools, each with name, summary"
            f" and parameters ({type(error).__name__}: {error}). Hint: it is the benchmark's own"
            f" {TOOLS_FILE}"
        ) from error


def _tool(prefix: str, tool: Mapping[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for parameter in tool["parameters"]:
        kind = parameter.get("type")
        properties[parameter["name"]] = {
            **({"type": kind} if kind in TYPES else {}),
            "description": parameter.get("description") or "",
        }
    return {
        "type": "function",
        "function": {
            "name": prefix + tool["name"],
            "description": tool.get("summary") or "",
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": [each["name"] for each in tool["parameters"] if each.get("required")],
            },
        },
    }


def _case(
    record: dict[str, Any], family: str, setting: str, tools: Mapping[str, dict[str, Any]]
) -> OneCall:
    for key in _TEXTS:
        value = record.get(key)
        if not isinstance(value, str) or not value.strip():
            raise Reject("missing_field", f"{key}: expected text, got {shown(value)}")
    targets = record.get("Attacker Tools")
    if not isinstance(targets, list) or not all(isinstance(name, str) for name in targets):
        raise Reject("wrong_type", f"Attacker Tools: expected names, got {shown(targets)}")
    if not targets:
        raise Reject("no_attacker_tool", "Attacker Tools: expected a name, the list is empty")
    names = list(dict.fromkeys([record["User Tool"], *targets]))
    if unknown := [name for name in names if name not in tools]:
        raise Reject("unknown_tool", f"expected a tool of {TOOLS_FILE}, got {shown(unknown[0])}")
    used = {"User Instruction", "User Tool"}
    response = record["Tool Response"]
    return OneCall(
        dataset=DATASET,
        before=[{"role": "user", "content": record["User Instruction"]}],
        tool=record["User Tool"],
        arguments=_parameters(record.get("Tool Parameters")),
        result=response,
        span=locate_attack(response, record.get("Tool Response Template")),
        tools=[tools[name] for name in names],
        simulated_tool=targets[0],
        expected_tool=None,
        task={"family": family, "name": record["User Tool"], "variant": setting},
        attack_type=_text(record.get("Attack Type")),
        capability=setting,
        raw_id=None,
        source_fields={key: value for key, value in record.items() if key not in used},
        flags=["modified_by_the_benchmark"] if record.get("Modifed") else [],
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def locate_attack(response: str, template: Any) -> tuple[int, int]:
    """Where the attack stands in a tool's response, code points [start, end): what the template
    has ``<Attacker Instruction>`` for. Cut out, the template without its slot remains.

    White space and quotation marks around the whole response need not be the template's.

    Args:
        response: What the model is shown.
        template: The response with the slot in the attack's place.

    Raises:
        Reject: ``injection_not_found``.
    """
    if not isinstance(template, str) or template.count(SLOT) != 1:
        raise Reject(
            "injection_not_found",
            f"Tool Response Template: expected one {SLOT}, got {shown(template)}",
        )
    left, right = template.split(SLOT)
    # Only the ends of the whole may differ, not what stands beside the slot.
    before, after = left.lstrip('" \n'), right.rstrip('" \n')
    start = response.find(before)
    end = response.rfind(after) if after else len(response.rstrip('" \n'))
    outside = response[:start] + response[end + len(after) :] if start >= 0 <= end else None
    start += len(before)
    if outside is None or outside.strip('" \n') or start >= end:
        raise Reject(
            "injection_not_found",
            f"expected {shown(left)} and {shown(right)} around the attack, got {shown(response)}",
        )
    return start, end


def _parameters(value: Any) -> dict[str, Any]:
    """The arguments of the user tool, which the benchmark writes as Python would print them."""
    found = value
    if isinstance(value, str):
        try:
            found = ast.literal_eval(value)
            orjson.dumps(found)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            found = None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise Reject(
            "bad_tool_parameters", f"Tool Parameters: expected an object, got {shown(value)}"
        )
    return found
