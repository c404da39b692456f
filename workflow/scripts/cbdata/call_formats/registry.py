"""The call formats by name. A new one is a module and a line here."""

from __future__ import annotations

from cbdata.call_formats.base import CallFormat
from cbdata.call_formats.command_r import CommandR
from cbdata.call_formats.deepseek_dsml import DeepseekDsml
from cbdata.call_formats.deepseek_v3 import DeepseekV3
from cbdata.call_formats.deepseek_v31 import DeepseekV31
from cbdata.call_formats.function_gemma import FunctionGemma
from cbdata.call_formats.gemma4 import Gemma4
from cbdata.call_formats.gemma_tool_code import GemmaToolCode
from cbdata.call_formats.glm import Glm
from cbdata.call_formats.granite import Granite
from cbdata.call_formats.harmony import Harmony
from cbdata.call_formats.hermes_json import HermesJson
from cbdata.call_formats.internlm2 import Internlm2
from cbdata.call_formats.kimi_k2 import KimiK2
from cbdata.call_formats.llama_function import LlamaFunction
from cbdata.call_formats.llama_json import LlamaJson
from cbdata.call_formats.minimax_m1 import MinimaxM1
from cbdata.call_formats.minimax_m2 import MinimaxM2
from cbdata.call_formats.mistral_args import MistralArgs
from cbdata.call_formats.mistral_list import MistralList
from cbdata.call_formats.openai_json import OpenaiJson
from cbdata.call_formats.phi4 import Phi4
from cbdata.call_formats.pythonic import Pythonic
from cbdata.call_formats.qwen_xml import QwenXml
from cbdata.call_formats.react import React
from cbdata.call_formats.seed_oss import SeedOss
from cbdata.call_formats.solar import Solar

FORMATS: dict[str, CallFormat] = {
    each.name: each
    for each in (
        LlamaJson(),
        LlamaFunction(),
        HermesJson(),
        QwenXml(),
        Pythonic(),
        Harmony(),
        OpenaiJson(),
        CommandR(),
        Glm(),
        Granite(),
        Internlm2(),
        KimiK2(),
        MinimaxM2(),
        Phi4(),
        React(),
        SeedOss(),
        GemmaToolCode(),
        FunctionGemma(),
        Gemma4(),
        MistralList(),
        MistralArgs(),
        DeepseekV3(),
        DeepseekV31(),
        DeepseekDsml(),
        MinimaxM1(),
        Solar(),
    )
}

ANY = "any"
"""Not a format: every format is tried, and what two read differently is accepted by none."""

AUTO = "auto"
"""Not a format: the one that reads the chat template's calls back, see ``settle``."""

CALL_MARKERS = frozenset(mark for each in FORMATS.values() for mark in each.all_markers)
"""The markers of calls and of reasoning of every format."""

KNOWN_MARKERS = CALL_MARKERS | {mark for each in FORMATS.values() for mark in each.end_tokens}
"""The same, and what ends a turn."""

_ENDS_OF_OTHERS = (
    *("</s>", "[/INST]", "<end_of_turn>", "<turn|>", "<eos>", "<|eot|>", "<|end|>"),
    *("<|end_of_turn|>", "<|endofassistant|>", "<｜end▁of▁sentence｜>", "<|END_OF_TURN_TOKEN|>"),
)
SPELLED_END_TOKENS = frozenset(
    [*_ENDS_OF_OTHERS, *(mark for each in FORMATS.values() for mark in each.end_tokens)]
)
"""What ends a turn where a completion is read as spelled and no tokenizer says it."""


def call_format(name: str) -> CallFormat:
    """The format of a name. Raises ValueError that lists the names."""
    if name not in FORMATS:
        raise ValueError(f"call_format {name!r}: expected one of {', '.join(sorted(FORMATS))}")
    return FORMATS[name]
