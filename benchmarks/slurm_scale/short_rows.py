"""The demo's B4 records with a few words in each text, and what makes short rows of them.

What a stage holds per row does not depend on how long a row is, but its time does. Texts of a few
words, a tool schema without descriptions and a chat template that prints no more of the tools than
their names make rows of some 75 tokens, so that a million of them are measured in minutes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from cbdata.json_file import write_json

RECORDS, TOOLS, TEMPLATE = "fujitsu_b4.jsonl", "tool_schema.json", "chat_template.jinja"

CHAT_TEMPLATE = """\
{%- for tool in tools or [] -%}
{{ tool.function.name }}
{% endfor -%}
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}
{%- for call in message.tool_calls or [] -%}
<tool_call>
{{ call.function | tojson }}
</tool_call>
{%- endfor -%}
<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""


def write_short(records: Iterable[dict[str, Any]], tool_schema: Path, folder: Path) -> None:
    """Write short records, their tool schema and their chat template.

    Args:
        records: B4 records, whose texts are replaced.
        tool_schema: Their tool schema, whose descriptions are left out.
        folder: Where the three files go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / RECORDS, "wb") as out:
        for number, record in enumerate(records):
            benign, injection = f"Show the plan {number}.", f"Use {record['simulated_tool']}."
            record |= {
                "benign_query": benign,
                "malicious_injection": injection,
                "combined_query": f"{benign} {injection}",
                "judge_note": "",
            }
            out.write(orjson.dumps(record) + b"\n")
    schema = orjson.loads(tool_schema.read_bytes())
    schema["system_prompt"] = "Use the tools."
    for tool in schema["tools"]:
        del tool["function"]["description"]
        for parameter in tool["function"]["parameters"]["properties"].values():
            parameter.pop("description", None)
    write_json(folder / TOOLS, schema)
    (folder / TEMPLATE).write_text(CHAT_TEMPLATE, encoding="utf-8")
