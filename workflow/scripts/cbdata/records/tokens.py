"""render_v1 and lossmask_v1 as types; the binding forms are the schemas of these names."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from cbdata.records.words import (
    Category,
    CompletionTokens,
    ControlTokenMode,
    EarlierThinking,
    Overlength,
    PolicySource,
    Role,
    RowKind,
)


class RenderOptions(TypedDict):
    """The settings that a render depends on."""

    chat_template_name: str
    add_generation_prompt: Literal[False]
    tools_included: bool
    tools_digest: str | None
    max_length: int
    truncated: bool
    truncation_side: Literal["none", "right", "window"]
    full_length: NotRequired[int]
    overlength: NotRequired[Overlength]
    control_tokens: NotRequired[ControlTokenMode]
    template_date: NotRequired[str]
    completion_tokens: NotRequired[CompletionTokens]
    earlier_thinking: NotRequired[EarlierThinking]
    chat_template_kwargs: NotRequired[dict[str, Any]]
    rows: NotRequired[RowKind]
    template_fit: NotRequired[list[str]]


class PromptPart(TypedDict):
    """Everything before what the model generates in the last assistant turn.

    ``sha256`` is taken over the ids as little-endian uint32, equal to the fill stage's.
    """

    length: int
    sha256: str


class MessageSpan(TypedDict):
    """A turn's tokens ``[token_start, token_end)``, and those of its content."""

    message_index: int
    role: Role
    token_start: int
    token_end: int
    content_start: int
    content_end: int


class AssistantSpan(TypedDict):
    """What the model generates in one assistant turn: tokens ``[token_start, token_end)``."""

    message_index: int
    token_start: int
    token_end: int


class ThinkingSpan(TypedDict):
    """Reasoning that the model wrote, markers included: tokens ``[token_start, token_end)``.

    It stands in its turn, before the content or, where a model reasons between its words, in it.
    """

    message_index: int
    token_start: int
    token_end: int


class ToolCallSpan(TypedDict):
    """Tokens of one call, call syntax included, and those of its name; half-open."""

    message_index: int
    call_index: int
    tool_name: str
    token_start: int
    token_end: int
    name_token_start: int
    name_token_end: int


class Alignment(TypedDict):
    """Every span of a render."""

    message_spans: list[MessageSpan]
    assistant_spans: list[AssistantSpan]
    thinking_spans: NotRequired[list[ThinkingSpan]]
    tool_call_spans: list[ToolCallSpan]


class SpecialTokens(TypedDict):
    """Positions of tokens that policies and people look for."""

    bos_position: int | None
    eos_positions: list[int]
    python_tag_positions: list[int]


class InjectionSpan(TypedDict):
    """Tokens ``[token_start, token_end)`` of one stretch of the injection."""

    message_index: int
    token_start: int
    token_end: int


class ActionCommitment(TypedDict):
    """The token at which one call's tool is settled."""

    assistant_message_index: int
    call_index: int
    commitment_token_idx: int
    commit_type: Literal["parse_unambiguous", "tool_name_selected"]
    committed_tool: str
    expected_tool: str | None
    guarantee_prefix: str
    prefix_token_indices: list[int]


class ControlTokens(TypedDict):
    """Control-token text in a message that was tokenised as plain text."""

    message_index: int
    token: str
    count: int


class Signals(TypedDict):
    """What analyses need beyond the spans."""

    injection_spans: list[InjectionSpan]
    action_commitments: list[ActionCommitment]
    control_tokens_in_content: NotRequired[list[ControlTokens]]


class Render(TypedDict):
    """render_v1: one trace as token ids, with the spans that masks are made of."""

    render_id: str
    trace_id: str
    tokenizer_id: str
    tokenizer_sha256: str
    chat_template_sha256: str
    created_at: NotRequired[str]
    on_policy: NotRequired[bool]
    turn_index: NotRequired[int]
    last_turn: NotRequired[bool]
    render_options: RenderOptions
    rendered_text: NotRequired[str]
    input_ids: list[int]
    attention_mask: list[int]
    sequence_length: int
    prompt: NotRequired[PromptPart]
    alignment: Alignment
    special_tokens: SpecialTokens
    signals: Signals


class MaskStats(TypedDict):
    """Token counts of one mask; ``mask_ratio`` is the part without loss."""

    total_tokens: int
    masked_tokens: int
    unmasked_tokens: int
    mask_ratio: float


class MessageLoss(TypedDict):
    """What the weights of one message's turn were multiplied by."""

    message_index: int
    loss: float


class LossMask(TypedDict):
    """lossmask_v1: which tokens of a render carry loss, under one policy."""

    lossmask_id: str
    render_id: str
    trace_id: str
    policy_id: str
    policy_version: str
    policy_params: dict[str, Any]
    policy_source: PolicySource
    thinking_weight: NotRequired[float]
    message_losses: NotRequired[list[MessageLoss]]
    loss_mask: list[float]
    labels: list[int]
    pooling_mask: NotRequired[list[float]]
    pooling_policy_id: NotRequired[str]
    pooling_policy_version: NotRequired[str]
    pooling_policy_params: NotRequired[dict[str, Any]]
    sample_weight: float
    class_weight: float
    zero_weight: bool
    stats: MaskStats
    category: Category
    class_id: str
    split: str
    pair_id: str | None
