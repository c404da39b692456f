"""The render stage: trace_v1 to render_v1, a chunk of traces at a time."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cbdata.jsonl import read_records
from cbdata.progress import Progress
from cbdata.records import Trace
from cbdata.records.words import ROLES
from cbdata.rejects import Reject
from cbdata.render.reasons import REASONS
from cbdata.render.record import Row, RowWriter
from cbdata.render.renderer import Draft, Rendered, Renderer
from cbdata.render.settings import RenderSettings, RenderStageSettings
from cbdata.render.trace_tools import TraceTools
from cbdata.schemas import first_error
from cbdata.stage import StageFiles, StageWriter
from cbdata.tools import ToolSchema

logger = logging.getLogger(__name__)

CHUNK_CHARACTERS = 2_000_000


NOT_A_TRACE = (KeyError, TypeError, AttributeError, IndexError)
"""What reading a field that is not there, or is of another type, raises."""


@dataclass(slots=True)
class _Pending:
    """A trace whose draft waits for its chunk to be tokenised; ``draft`` is the error of one that
    has none.
    """

    line: int
    trace: Trace
    draft: Draft | Reject
    schema: ToolSchema | None = None
    tools_included: bool = False


def render_traces(
    traces: str | Path,
    files: StageFiles,
    settings: RenderSettings,
    options: RenderStageSettings,
    *,
    name: str,
) -> None:
    """Render a trace file; every trace becomes a row or a reject with its reason.

    Rows are in the order of the traces, and their bytes do not depend on ``chunk_traces`` or on the
    number of threads.

    Args:
        traces: A trace_v1 file.
        files: The render_v1 file to make, with its rejects and stats.
        settings: What decides the token ids.
        options: Length, tools and skeletons.
        name: The data set's name.

    Raises:
        TokenizerError: Tokenizer or chat template cannot be used.
        ToolSchemaError: A tool schema file cannot be used.
        JsonlError: The trace file holds a line that is no JSON object.
        ConservationError: A trace would be lost or counted twice; nothing is published.
    """
    renderer = Renderer.load(settings)
    logger.info(
        "tokenizer %s, chat template %s (%s)",
        renderer.tokenizer_id,
        renderer.chat_template_name,
        renderer.chat_template_sha256[:12],
    )
    with StageWriter("render", name, files, REASONS) as writer:
        run = _FileRenderer(
            renderer,
            RowWriter(renderer, options),
            TraceTools(options.tool_schema_dir, options.tool_schema_file, options.tools_included),
            writer,
            Path(traces).name,
            options.allow_skeleton,
        )
        progress = Progress(f"render {name}")
        waiting: tuple[list[_Pending], Future[list[Rendered | Reject]]] | None = None
        # While a chunk is tokenised in a second thread (outside Python's lock), the next one is
        # rendered in this one.
        with ThreadPoolExecutor(max_workers=1) as pool:
            for chunk in run.chunks(traces, options.chunk_traces):
                encoded = pool.submit(
                    renderer.encode, [item.draft for item in chunk if isinstance(item.draft, Draft)]
                )
                if waiting:
                    run.write(waiting[0], waiting[1].result())
                    progress.add(len(waiting[0]), f"{run.totals['tokens']} tokens")
                waiting = chunk, encoded
            if waiting:
                run.write(waiting[0], waiting[1].result())
                progress.add(len(waiting[0]))
        progress.finish(f"{run.totals['tokens']} tokens")
        writer.details.update(run.details())


class _FileRenderer:
    """One trace file on its way through the renderer."""

    def __init__(
        self,
        renderer: Renderer,
        rows: RowWriter,
        tools: TraceTools,
        writer: StageWriter,
        file: str,
        allow_skeleton: bool,
    ) -> None:
        self.renderer, self.rows, self.tools, self.writer, self.file, self.allow_skeleton = (
            renderer,
            rows,
            tools,
            writer,
            file,
            allow_skeleton,
        )
        self.totals: Counter[str] = Counter()
        self.control_text: Counter[str] = Counter()

    def chunks(self, traces: str | Path, size: int) -> Iterator[list[_Pending]]:
        """Drafts of a trace file, at most ``size`` at a time and fewer where they are long."""
        chunk: list[_Pending] = []
        characters = 0
        for line, trace in read_records(traces):
            self.writer.take()
            item = self.draft(line, cast("Trace", trace))
            chunk.append(item)
            characters += len(item.draft.text) if isinstance(item.draft, Draft) else 0
            if len(chunk) >= size or characters >= CHUNK_CHARACTERS:
                yield chunk
                chunk, characters = [], 0
        if chunk:
            yield chunk

    def draft(self, line: int, trace: Trace) -> _Pending:
        """Render and lay out one trace."""
        try:
            if not self.allow_skeleton and (
                trace["completeness"] == "skeleton"
                or not any(message["role"] == "assistant" for message in trace["messages"])
            ):
                raise Reject(
                    "skeleton_not_allowed",
                    "the trace has no completion, and allow_skeleton is false",
                )
            if not trace["messages"]:
                raise Reject("no_messages", "the trace has no message")
            strange = next(
                (message["role"] for message in trace["messages"] if message["role"] not in ROLES),
                None,
            )
            if strange is not None:
                raise Reject(
                    "invalid_trace", f"expected a role out of {', '.join(ROLES)}, got {strange!r}"
                )
            schema, included = self.tools.of(trace)
            filled = "generation" in trace["raw_metadata"]
            draft = self.renderer.draft(
                trace["messages"],
                schema.tools if schema and included else None,
                split_prompt=filled,
            )
            return _Pending(line, trace, draft, schema, included)
        except Reject as error:
            return _Pending(line, trace, error)
        except NOT_A_TRACE as error:
            return _Pending(line, trace, _invalid(trace, error))

    def write(self, chunk: list[_Pending], encoded: list[Rendered | Reject]) -> None:
        """Write the rows and rejects of a chunk, in order; ``encoded`` has an outcome for every
        draft in it.
        """
        outcomes = iter(encoded)
        for item in chunk:
            outcome = item.draft if isinstance(item.draft, Reject) else next(outcomes)
            if isinstance(outcome, Reject):
                self._reject(item, outcome)
                continue
            try:
                row = self._row(item, outcome)
            except Reject as error:
                self._reject(item, error)
                continue
            except NOT_A_TRACE as error:
                self._reject(item, _invalid(item.trace, error))
                continue
            self.writer.emit_bytes(row.line)
            self._count(row, outcome)

    def _row(self, item: _Pending, rendered: Rendered) -> Row:
        generation = item.trace["raw_metadata"].get("generation")
        if generation is not None:
            length = rendered.prompt_length() or 0
            sha256 = rendered.tokens.sha256(length)
            if sha256 != generation["prompt_sha256"]:
                raise Reject(
                    "prompt_mismatch",
                    f"the prompt part ({length} tokens) has SHA-256 {sha256[:16]}..., the model was"
                    f" given {generation['prompt_sha256'][:16]}..."
                    f" ({generation.get('prompt_tokens', '?')} tokens): another tokenizer, chat"
                    " template, tool schema or date than at the fill stage",
                )
        return self.rows.row(item.trace, rendered, item.schema, tools_included=item.tools_included)

    def _reject(self, item: _Pending, error: Reject) -> None:
        record_id = item.trace.get("id")
        self.writer.reject(
            error,
            file=self.file,
            line=item.line,
            record_id=record_id if isinstance(record_id, str) else None,
        )

    def _count(self, row: Row, rendered: Rendered) -> None:
        totals = self.totals
        totals["tokens_before_cut"] += row.cut.length
        totals["tokens"] += row.cut.kept
        totals["truncated"] += row.cut.side != "none"
        totals["tokens_cut"] += row.cut.length - row.cut.kept
        totals["characters"] += len(rendered.draft.text)
        totals.update(row.spans)
        if rendered.draft.control_text:
            totals["traces_with_control_text"] += 1
            for _, token, count in rendered.draft.control_text:
                self.control_text[token] += count

    def details(self) -> dict[str, Any]:
        """The stage's own figures."""
        renderer, totals = self.renderer, self.totals
        keys = (
            "tokens",
            "tokens_before_cut",
            "tokens_cut",
            "truncated",
            "characters",
            "traces_with_control_text",
            "message_spans",
            "assistant_spans",
        )
        figures: dict[str, Any] = {
            key: totals[key]
            for key in (*keys, "tool_call_spans", "action_commitments", "injection_spans")
        }
        figures["cut_fraction"] = (
            round(totals["tokens_cut"] / totals["tokens_before_cut"], 6)
            if totals["tokens_before_cut"]
            else 0.0
        )
        figures["control_text"] = dict(sorted(self.control_text.items()))
        figures["tokenizer_id"] = renderer.tokenizer_id
        figures["tokenizer_sha256"] = renderer.tokenizer_sha256
        figures["chat_template_name"] = renderer.chat_template_name
        figures["chat_template_sha256"] = renderer.chat_template_sha256
        return figures


def _invalid(trace: Trace, error: Exception) -> Reject:
    """The reject of a record that trace_v1 does not allow; another error is raised again, because
    then the fault is here.
    """
    wrong = first_error("trace_v1", dict(trace))
    if wrong is None:
        raise error
    return Reject("invalid_trace", f"{wrong} ({type(error).__name__}: {error})")
