"""Conversations to token ids with exact spans, by a chat template and a tokenizer, without a model
library.

``Renderer`` is used by the fill stage (prompts) and by ETL_B (renders), so that both see the same
tokens.
"""

from cbdata.render.renderer import Rendered, Renderer
from cbdata.render.settings import Prompt, RenderSettings, RenderStageSettings, TokenizerError

__all__ = [
    "Prompt",
    "RenderSettings",
    "RenderStageSettings",
    "Rendered",
    "Renderer",
    "TokenizerError",
]
