"""Checks of render_v1 rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

from cbdata.ids import digest, token_ids_sha256
from cbdata.lookup import Place, PlaceTable, RecordIndex
from cbdata.records import Render
from cbdata.schemas import all_errors, first_error
from cbdata.validation.findings import Findings
from cbdata.validation.traces import SeenTrace, SeenTraces


def _ordered(spans: Iterable[tuple[int, int]], length: int, what: str) -> str | None:
    last = 0
    for start, end in spans:
        if not last <= start <= end <= length:
            return f"{what} [{start}, {end}) after {last}, of {length} tokens"
        last = end
    return None


def span_problem(render: Render) -> str | None:
    """The first span of a render that is not where it must be."""
    length = len(render["input_ids"])
    alignment, signals, special = render["alignment"], render["signals"], render["special_tokens"]
    turns = alignment["message_spans"]
    problem = _ordered(
        ((turn["token_start"], turn["token_end"]) for turn in turns), length, "message"
    )
    if problem:
        return problem
    for turn in turns:
        if (
            not turn["token_start"]
            <= turn["content_start"]
            <= turn["content_end"]
            <= turn["token_end"]
        ):
            return f"content of message {turn['message_index']} outside the message"
    assistants = [
        (turn["message_index"], turn["content_start"], turn["content_end"])
        for turn in turns
        if turn["role"] == "assistant"
    ]
    listed = [
        (span["message_index"], span["token_start"], span["token_end"])
        for span in alignment["assistant_spans"]
    ]
    # A cut may leave the header of a turn and nothing of its content; such a turn need not be
    # listed.
    if [span for span in assistants if span[1] < span[2]] != [
        span for span in listed if span[1] < span[2]
    ]:
        return "assistant_spans are not the contents of the assistant messages"
    for call in alignment["tool_call_spans"]:
        # The turn of its message; where a message has several (template_fit), the call's own
        start, end = next(
            (
                (start, end)
                for index, start, end in reversed(assistants)
                if index == call["message_index"] and start <= call["token_start"]
            ),
            (0, -1),
        )
        # A cut may leave the opening of a call and nothing of its name.
        nameless = call["name_token_start"] == call["name_token_end"]
        if (
            not start
            <= call["token_start"]
            <= call["name_token_start"]
            <= call["name_token_end"]
            <= call["token_end"]
            <= end
        ) or (nameless and not render["render_options"]["truncated"]):
            return (
                f"call {call['call_index']} of message {call['message_index']} is not nested in its"
                " turn"
            )
    for span in signals["injection_spans"]:
        if not 0 <= span["token_start"] <= span["token_end"] <= length:
            return f"injection [{span['token_start']}, {span['token_end']}) of {length} tokens"
    turns_of = {turn["message_index"]: turn for turn in reversed(turns)}
    for span in alignment.get("thinking_spans", []):
        own_turn = turns_of.get(span["message_index"])
        if (
            own_turn is None
            or not own_turn["token_start"]
            <= span["token_start"]
            < span["token_end"]
            <= own_turn["content_end"]
        ):
            return f"reasoning of message {span['message_index']} is not inside its turn"
    calls = {
        (call["message_index"], call["call_index"]): call for call in alignment["tool_call_spans"]
    }
    for commitment in signals["action_commitments"]:
        own = calls.get((commitment["assistant_message_index"], commitment["call_index"]))
        if (
            own is None
            or not own["token_start"] <= commitment["commitment_token_idx"] < own["token_end"]
        ):
            return f"commitment at {commitment['commitment_token_idx']} is not inside its call"
    positions = [*special["eos_positions"], *special["python_tag_positions"]]
    positions += [] if special["bos_position"] is None else [special["bos_position"]]
    outside = [position for position in positions if position >= length]
    return f"special token at {outside[0]} of {length} tokens" if outside else None


def _prompt_problem(render: Render, trace: SeenTrace | None) -> str | None:
    prompt = render.get("prompt")
    if prompt is None:
        return None
    if prompt["length"] > render["render_options"].get("full_length", len(render["input_ids"])):
        return f"prompt of {prompt['length']} tokens in {len(render['input_ids'])}"
    whole = (
        prompt["length"] <= len(render["input_ids"]) and not render["render_options"]["truncated"]
    )
    if whole and token_ids_sha256(render["input_ids"][: prompt["length"]]) != prompt["sha256"]:
        return "prompt hash is not that of its tokens"
    generated = render["render_options"].get("completion_tokens") == "generated"
    if generated and trace and trace.prompt_sha256 not in (None, prompt["sha256"]):
        return "the prompt is not the one that the completion was generated from"
    return None


def completion_problem(render: Render, completion: list[int]) -> str | None:
    """Whether a generated row ends with the ids that the model wrote, as far as the cut at
    ``max_length`` left them.
    """
    ids, options = render["input_ids"], render["render_options"]
    full = options.get("full_length", len(ids))
    if options["truncation_side"] == "window":
        turn = render["alignment"]["message_spans"][-1]
        # A window keeps the end: a turn whose header is there is there as a whole.
        kept = min(len(completion), turn["token_end"] - turn["token_start"])
        same = ids[len(ids) - kept :] == completion[len(completion) - kept :]
        return None if same else "the ids at the end are not the completion's"
    start = full - len(completion)
    prompt = render.get("prompt")
    if prompt is not None and prompt["length"] != start:
        return (
            f"{full - prompt['length']} ids behind the prompt, the completion has {len(completion)}"
        )
    if ids[max(start, 0) :] != completion[: max(len(ids) - start, 0)]:
        return "the ids behind the prompt are not the completion's"
    return None


class RenderChecks:
    """Checks of all render rows. ``traces`` is None where no trace files are given; then joins are
    not checked. ``index`` reads one of these traces again. ``places`` are those of the renders by
    id, and ``count`` says how many there are by the name of their file.
    """

    def __init__(
        self,
        findings: Findings,
        traces: SeenTraces | None,
        index: RecordIndex | None = None,
    ) -> None:
        self.findings, self.traces, self.index = findings, traces, index
        self.places = PlaceTable()
        self.count: Counter[str] = Counter()
        self._rendered = PlaceTable()

    def check(self, place: Place, row: dict[str, Any]) -> None:
        """Check one row; rows that match the schema become known to the loss mask checks."""
        expect = self.findings.expect
        error = first_error("render_v1", row)
        if not expect("render_schema", error is None, place, lambda: all_errors("render_v1", row)):
            return
        render = cast("Render", row)
        name = render["render_id"]
        if not expect(
            "render_id_unique",
            self.places.add(name, place),
            place,
            lambda: f"{name} stands at {self.places.get(name)} already",
        ):
            return
        self.count[place.path.stem] += 1
        lengths = (
            len(render["input_ids"]),
            len(render["attention_mask"]),
            render["sequence_length"],
        )
        limit = render["render_options"]["max_length"]
        fits = len(set(lengths)) == 1 and lengths[0] <= limit
        expect(
            "render_lengths", fits, place, lambda: f"{name}: lengths {lengths}, max_length {limit}"
        )
        problem = span_problem(render)
        expect("render_spans", problem is None, place, lambda: f"{name}: {problem}")
        trace = None
        if self.traces is not None:
            trace = self.traces.get(render["trace_id"])
            if expect(
                "render_join",
                trace is not None,
                place,
                lambda: f"{name}: no trace {render['trace_id']}",
            ):
                self._one_a_trace(place, render)
        prompt = _prompt_problem(render, trace)
        expect("render_prompt", prompt is None, place, lambda: f"{name}: {prompt}")
        completion = self._completion_problem(render)
        expect("render_completion", completion is None, place, lambda: f"{name}: {completion}")

    def _completion_problem(self, render: Render) -> str | None:
        generated = render["render_options"].get("completion_tokens") == "generated"
        if render.get("on_policy", False) != generated:
            return f"on_policy is {render.get('on_policy')}, generated ids: {generated}"
        if not generated or self.index is None:
            return None
        trace = self.index.get(render["trace_id"])
        if trace is None:
            return None  # render_join says so
        generation = trace["raw_metadata"].get("generation", {})
        return completion_problem(render, generation.get("completion_token_ids", []))

    def _one_a_trace(self, place: Place, render: Render) -> None:
        kind = [
            render["tokenizer_sha256"],
            render["chat_template_sha256"],
            render["render_options"].get("chat_template_kwargs", {}),
            render.get("turn_index"),
        ]
        key = f"{render['trace_id']} {digest(kind)}"
        self.findings.expect(
            "render_join",
            self._rendered.add(key, place),
            place,
            lambda: f"{render['trace_id']} is rendered at {self._rendered.get(key)} already",
        )
