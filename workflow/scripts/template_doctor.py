"""What a tokenizer and chat template do to conversations, as a table."""

from pathlib import Path

from cbdata.atomic_file import write_atomic
from cbdata.logs import configure_logging
from cbdata.render import RenderSettings
from cbdata.render.doctor import examine, format_table

configure_logging(snakemake.log[0])
params = snakemake.params
settings = RenderSettings(
    tokenizer=params.tokenizer,
    chat_template=params.chat_template,
    force_llama=params.force_llama,
    template_date=params.template_date,
    cache_dir=snakemake.config.get("cache_dir"),
)
template = "llama31_tools" if params.force_llama else params.chat_template or "own template"
table = format_table({f"{Path(params.tokenizer).name}, {template}": examine(settings)})
write_atomic(snakemake.output[0], table.encode())
