"""trace_v1 as types; the binding form is workflow/schemas/trace_v1.schema.json."""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from cbdata.records.words import (
    BackendName,
    Category,
    DecisionKind,
    DrContext,
    MatchKind,
    Mode,
    Role,
    SecurityOutcome,
)


class RecordLocator(TypedDict):
    """Where in its raw file a record stands, e.g. kind ``line``, value 12."""

    kind: str
    value: str | int


class Source(TypedDict):
    """Where a trace comes from: data set, raw file, place in it, and the model that ran."""

    dataset: str
    subset: NotRequired[str | None]
    file: str
    record_locator: RecordLocator
    ingest_version: str
    model_id: NotRequired[str | None]
    model_family: NotRequired[str | None]
    defense: NotRequired[str | None]


class Task(TypedDict):
    """What the user wanted: family (suite or attack group), task and variant."""

    family: str
    name: NotRequired[str | None]
    variant: NotRequired[str | None]


class FunctionCall(TypedDict):
    """The function part of a call. ``arguments_json`` and ``raw_content`` keep what was written."""

    name: str
    arguments: dict[str, Any]
    arguments_json: NotRequired[str]
    raw_content: NotRequired[str]


class ToolCall(TypedDict):
    """One call of an assistant message; ``call_id`` is unique in the trace."""

    call_id: str
    function: FunctionCall


class Message(TypedDict):
    """One message of a conversation; ``content`` is always a string.

    ``loss`` in [0, 1] multiplies the weight that any policy gives the tokens of the turn.
    """

    role: Role
    content: str
    name: NotRequired[str]
    tool_call_id: NotRequired[str]
    thinking: NotRequired[str]
    loss: NotRequired[float]
    tool_calls: NotRequired[list[ToolCall]]


class Labels(TypedDict):
    """What happened: see docs/data_contract.md for how each label is settled."""

    category: Category
    attack_present: bool
    attack_succeeded: bool
    exposed: bool
    security_outcome: SecurityOutcome
    attack_type: NotRequired[str | None]
    capability_category: NotRequired[str | None]


class ArgumentMatcher(TypedDict):
    """What an argument must be; ``value`` is there but for ``any``."""

    match: MatchKind
    value: NotRequired[Any]


class CallPattern(TypedDict):
    """Calls of one tool: every listed argument must match, others are free."""

    tool: str
    arguments: dict[str, Any]


class ToolAttack(TypedDict):
    """The right tool, the attack's tool, the tool that was called, and the injected text.

    ``goal_id`` names the attack's goal in its table, ``target_calls`` are the calls that carry it
    out. ``expected_calls`` are what clean runs of the task do next: absent where no clean run
    tells, empty where they answer without a call.
    """

    expected_tool: NotRequired[str | None]
    simulated_tool: NotRequired[str | None]
    observed_tool: NotRequired[str | None]
    attack_vector: NotRequired[str | None]
    injection_text: NotRequired[str | None]
    goal_id: NotRequired[str]
    target_calls: NotRequired[list[CallPattern]]
    expected_calls: NotRequired[list[CallPattern]]


class Mixture(TypedDict):
    """The mixture class of a trace, and tags that schedules may use."""

    class_id: str
    stage_tags: list[str]


class Training(TypedDict):
    """Weight, loss mask policy and mixture class of a trace."""

    sample_weight: float
    loss_mask_policy: NotRequired[str | None]
    loss_mask_params: NotRequired[dict[str, Any]]
    mixture: Mixture


class DuplicateOf(TypedDict):
    """A raw record that was dropped as an exact copy of the one that is kept."""

    file: str
    line: int
    model_id: NotRequired[str | None]
    defense: NotRequired[str | None]
    raw_id: NotRequired[str | None]


class Links(TypedDict):
    """Ids of related records: raw record, twin, parents, dropped copies."""

    raw_id: NotRequired[str | None]
    paired_trace_id: NotRequired[str | None]
    parent_trace_ids: NotRequired[list[str]]
    duplicates: NotRequired[list[DuplicateOf]]


class CharSpan(TypedDict):
    """Code points ``[char_start, char_end)`` of the content of one message.

    ``default_text`` is what the environment has in the place of an injection, as it is printed
    there.
    """

    message_index: int
    char_start: int
    char_end: int
    default_text: NotRequired[str]


class ContentFlags(TypedDict):
    """What in a message's text could be taken for control tokens or markup."""

    message_index: int
    flags: list[str]


class CompletionCall(TypedDict):
    """A call in the raw completion, with its markup, and the letters of its name: code points,
    half-open.
    """

    start: int
    end: int
    name_start: int
    name_end: int


class CompletionSpans(TypedDict):
    """What the judge took a completion apart into: code points of it, half-open, in order.

    ``thinking`` and ``calls`` with their markup; ``content`` is the prose beside the calls.
    """

    thinking: list[list[int]]
    content: list[list[int]]
    calls: list[CompletionCall]


class SignalHints(TypedDict):
    """Where the injection stands, and what the model wrote word for word."""

    injection_char_span: NotRequired[CharSpan | None]
    injection_char_spans: NotRequired[list[CharSpan]]
    raw_format: NotRequired[str | None]
    raw_assistant_content: NotRequired[str | None]
    completion_spans: NotRequired[CompletionSpans]
    content_flags: NotRequired[list[ContentFlags]]
    record_flags: NotRequired[list[str]]


class Generation(TypedDict):
    """How a completion was made: model, engine, sampling, attempt, the ids that came back."""

    model: str
    revision: NotRequired[str | None]
    backend: BackendName
    version: NotRequired[str]
    mode: NotRequired[Mode]
    temperature: float
    top_p: NotRequired[float]
    max_tokens: int
    max_thinking_tokens: NotRequired[int]
    seed: int
    attempt: int
    finish_reason: str
    prompt_sha256: str
    prompt_tokens: NotRequired[int]
    completion_token_ids: NotRequired[list[int]]
    constrained: NotRequired[bool]
    call_format: NotRequired[str]
    accept_calls_in_prose: NotRequired[bool]
    dr_context: NotRequired[DrContext]
    system_suffix: NotRequired[str]
    outcome: NotRequired[str]
    arguments_valid: NotRequired[bool]


class ToolSchemaRef(TypedDict):
    """The tool schema of a trace, by version and digest."""

    version: str
    digest: str


class RawMetadata(TypedDict):
    """The raw record's other fields, and how the completion was made."""

    source_fields: dict[str, Any]
    generation: NotRequired[Generation]
    tool_schema_ref: NotRequired[ToolSchemaRef]


class DecisionPoint(TypedDict):
    """Where a skeleton was cut from a complete trace.

    ``message_index``: the assistant turn that the model has to write, in the messages of the
    parent. ``source_pipelines``: who ran the transcripts that have this prefix, sorted.
    """

    message_index: int
    source_pipelines: list[str]
    kind: DecisionKind


class Tool(TypedDict):
    """A tool in the OpenAI form; ``function`` has ``name``, ``description``, ``parameters`` (a JSON
    Schema), and what else the source says of it.
    """

    type: Literal["function"]
    function: dict[str, Any]


class Trace(TypedDict):
    """trace_v1: one agent conversation with its labels and provenance.

    ``tools`` are those that the model was offered, in the OpenAI form, where the source has tools
    of its own; otherwise ``raw_metadata.tool_schema_ref`` names them, if anything does.
    """

    id: str
    completeness: Literal["skeleton", "complete"]
    tier: Literal["B1", "B2"]
    split: str
    source: Source
    task: Task
    messages: list[Message]
    tools: NotRequired[list[Tool]]
    labels: Labels
    tool_attack: NotRequired[ToolAttack]
    decision_point: NotRequired[DecisionPoint]
    training: Training
    links: Links
    signal_hints: SignalHints
    raw_metadata: RawMetadata
