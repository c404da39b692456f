"""What a tokenizer and chat template do to conversations, as a table."""

from pathlib import Path

from cbdata.atomic_file import write_atomic
from cbdata.logs import configure_logging
from cbdata.render.doctor import examine, format_table
from cbdata.render.settings import PROJECT_LLAMA_TEMPLATE, RenderSettings
from cbdata.settings import settings_from

configure_logging(snakemake.log[0])
params = snakemake.params
values = {
    **dict(params.items()),
    "cache_dir": snakemake.config.get("cache_dir"),
    "control_tokens": "escape",
}
template = PROJECT_LLAMA_TEMPLATE if params.force_llama else params.chat_template or "own template"
title = f"{Path(params.tokenizer).name}, {template}"
table = format_table({title: examine(settings_from(values, RenderSettings))})
write_atomic(snakemake.output[0], table.encode())
print(table)
