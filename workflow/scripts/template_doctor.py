"""What a tokenizer and chat template do to conversations, as a table."""

from pathlib import Path

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
Path(snakemake.output[0]).write_text(
    format_table({f"{Path(params.tokenizer).name}, {template}": examine(settings)}),
    encoding="utf-8",
)
