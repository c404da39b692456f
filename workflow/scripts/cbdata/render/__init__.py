"""Conversations to token ids with exact spans, by a chat template and a tokenizer, without a model
library.

``renderer.Renderer`` is used by the fill stage (prompts) and by ETL_B (renders), so that both see
the same tokens.
"""
