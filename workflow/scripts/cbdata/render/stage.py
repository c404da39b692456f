"""The render stage: trace_v1 to render_v1, a chunk of traces at a time."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from cbdata.garbage import rare_collections
from cbdata.jsonl import read_records
from cbdata.parts import WHOLE, Part
from cbdata.progress import Progress
from cbdata.records import Trace
from cbdata.rejects import Reject
from cbdata.render.ahead import Ahead, begin
from cbdata.render.draft import Draft, Rendered
from cbdata.render.drafter import NOT_A_TRACE, Drafter, Pending, invalid
from cbdata.render.encoder import Batch
from cbdata.render.figures import Figures, rendered_with
from cbdata.render.reasons import REASONS
from cbdata.render.record import Row, RowWriter
from cbdata.render.renderer import Renderer
from cbdata.render.settings import RenderSettings, RenderStageSettings
from cbdata.render.trace_tools import TraceTools
from cbdata.stage import NothingRead, StageFiles, StageWriter
from cbdata.traces.class_caps import ClassCaps

logger = logging.getLogger(__name__)

CHUNK_CHARACTERS = 750_000
IN_FLIGHT = 8
"""Chunks that are rendered and not yet written: as many as are rendered while a vocabulary is read.
"""

_Encoding = tuple[list[Pending], Batch | None]


def render_traces(
    traces: str | Path,
    files: StageFiles,
    settings: RenderSettings,
    options: RenderStageSettings,
    *,
    name: str,
    part: Part = WHOLE,
    ahead: Ahead | None = None,
) -> None:
    """Render a trace file; every trace becomes a row or a reject with its reason, or, with rows:
    turn, every assistant turn of every trace.

    Rows are in the order of the traces, and their bytes do not depend on ``chunk_traces`` or on the
    number of threads.

    Args:
        traces: A trace_v1 file.
        files: The render_v1 file to make, with its rejects and stats.
        settings: What decides the token ids.
        options: Length, tools and skeletons.
        name: The data set's name.
        part: The part of the trace file to render. The files are then parts too, which
            ``merge_renders`` puts together.
        ahead: The tokenizer of these settings and what encodes with it; a thread if None.

    Raises:
        TokenizerError: Tokenizer or chat template cannot be used.
        ToolSchemaError: A tool schema file cannot be used.
        JsonlError: The trace file holds a line that is no JSON object.
        ConservationError: A trace would be lost or counted twice; nothing is published.
        TooManyRejects: More was rejected than ``options`` allow; nothing is published.
        NothingRead: The file holds no trace, and ``options`` do not expect that.
    """
    renderer = Renderer.load(settings, ahead or begin(settings, apart=False))
    logger.info(
        "tokenizer %s, chat template %s (%s)",
        renderer.tokenizer_id,
        renderer.chat_template_name,
        renderer.chat_template_sha256[:12],
    )
    # What is rejected of a file is judged when all its parts are there.
    limit = options.reject_limit if part.is_whole else 1.0
    with (
        StageWriter("render", name, files, REASONS, max_reject_fraction=limit) as writer,
        rare_collections(),
    ):
        run = _FileRenderer(
            renderer,
            RowWriter(renderer, options),
            TraceTools(options.tool_schema_dirs, options.tool_schema_file, options.tools_included),
            writer,
            Path(traces).name,
            options,
        )
        progress = Progress(f"render {name}", files=[traces] if part.is_whole else ())
        for chunk in run.chunks(traces, options.chunk_traces, part):
            run.begin(chunk)
            while written := run.write_next(wait=run.in_flight >= IN_FLIGHT):
                progress.add(written, f"{run.totals['tokens']} tokens")
        while run.in_flight:
            progress.add(run.write_next(wait=True), f"{run.totals['tokens']} tokens")
        progress.finish(f"{run.totals['tokens']} tokens")
        told = rendered_with(renderer)
        if part.is_whole:
            tell_of_no_traces(traces, run.figures, options.may_be_empty)
            writer.details.update(run.figures.details(told, options.rows))
        else:
            writer.details.update(
                figures=run.figures.packed(),
                rendered_with=told,
                file_bytes=Path(traces).stat().st_size,
            )


def tell_of_no_traces(traces: str | Path, figures: Figures, expected: bool) -> None:
    """Say that a file holds no trace, if it holds none.

    Args:
        traces: The file.
        figures: The counts of what was read.
        expected: Whether that is no error.

    Raises:
        NothingRead: It holds none, and should.
    """
    if figures.totals["traces"]:
        return
    if not expected:
        raise NothingRead(
            f"{traces} holds no trace. Hint: look at input_traces and at the file, which must be"
            " traces as docs/data_contract.md describes them"
        )
    logger.warning("%s holds no trace, so there is nothing to render", traces)


class _FileRenderer:
    """One trace file on its way through the renderer."""

    def __init__(
        self,
        renderer: Renderer,
        rows: RowWriter,
        tools: TraceTools,
        writer: StageWriter,
        file: str,
        options: RenderStageSettings,
    ) -> None:
        self.renderer, self.rows, self.tools = renderer, rows, tools
        self.writer, self.file, self.options = writer, file, options
        self.drafter = Drafter(renderer, tools, options)
        # Chunks that are being tokenised, and ones of which some rows are again, without their
        # tools.
        self._first: deque[_Encoding] = deque()
        self._again: deque[_Encoding] = deque()
        self.figures = Figures()
        self.totals = self.figures.totals

    def chunks(self, traces: str | Path, size: int, part: Part) -> Iterator[list[Pending]]:
        """Drafts of a part of a trace file, at most ``size`` at a time and fewer where they are
        long.
        """
        caps = ClassCaps(traces, self.options.class_caps)
        chunk: list[Pending] = []
        characters = 0
        for line, trace in read_records(traces, part):
            self.totals["traces"] += 1
            if caps.leaves_out(trace):
                self.writer.take()
                self.writer.not_selected()
                continue
            for item in self.drafter.items(line, cast("Trace", trace)):
                self.writer.take()
                chunk.append(item)
                characters += len(item.draft.text) if isinstance(item.draft, Draft) else 0
                if len(chunk) >= size or characters >= CHUNK_CHARACTERS:
                    yield chunk
                    chunk, characters = [], 0
        if chunk:
            yield chunk

    @property
    def in_flight(self) -> int:
        """Chunks that were begun and not written."""
        return len(self._first) + len(self._again)

    def begin(self, chunk: list[Pending]) -> None:
        """Have a chunk tokenised, while the next one is rendered here."""
        self._first.append((chunk, self._encode(chunk)))

    def write_next(self, *, wait: bool) -> int:
        """Write the oldest chunk in flight, if it is ready.

        Args:
            wait: Whether to wait until it is.

        Returns:
            Its rows, those of rejects included; 0 where it is not ready.
        """
        while self._first and (_is_ready(self._first[0]) or (wait and not self._again)):
            self._again.append(self._without_tools(*self._first.popleft()))
        if not self._again or not (wait or _is_ready(self._again[0])):
            return 0
        chunk, batch = self._again.popleft()
        self._write(chunk, batch)
        return len(chunk)

    def _encode(self, chunk: list[Pending]) -> Batch | None:
        """Have the drafts of a chunk tokenised."""
        drafts = _drafts(chunk)
        return self.renderer.begin(drafts) if drafts else None

    def _without_tools(self, chunk: list[Pending], batch: Batch | None) -> _Encoding:
        """Take over what came of a chunk's drafts, and begin again without tools where they alone
        make a row too long and nobody asked for them: a suite's tools are longer than most
        transcripts, whose end would be cut off for them.
        """
        self._take_over(chunk, batch)
        for item in chunk:
            optional = item.tools_included and not self.tools.wanted(item.trace)
            if not optional or not isinstance(item.draft, Rendered):
                continue
            if item.draft.tokens.length > self.options.max_length:
                item.tools_included = False
                self.totals["tools_left_out"] += 1
                try:
                    item.draft = self.drafter.draft(item)
                except Reject as error:
                    item.draft = error
        return chunk, self._encode(chunk)

    def _take_over(self, chunk: list[Pending], batch: Batch | None) -> None:
        outcomes = iter(self.renderer.finish(_drafts(chunk), batch) if batch else ())
        for item in chunk:
            if isinstance(item.draft, Draft):
                item.draft = next(outcomes)

    def _write(self, chunk: list[Pending], batch: Batch | None) -> None:
        """Write the rows and rejects of a chunk, in order; ``batch`` is of the drafts that are left
        in it.
        """
        self._take_over(chunk, batch)
        for item in chunk:
            outcome = item.draft
            assert not isinstance(outcome, Draft)
            if isinstance(outcome, Reject):
                self._reject(item, outcome)
                continue
            try:
                row = self._row(item, outcome)
            except Reject as error:
                self._reject(item, error)
                continue
            except NOT_A_TRACE as error:
                self._reject(item, invalid(item.trace, error))
                continue
            self.writer.emit_bytes(row.line)
            self.figures.count(row, outcome)

    def _row(self, item: Pending, rendered: Rendered) -> Row:
        if item.completes:
            generation = item.trace["raw_metadata"]["generation"]
            length = rendered.prompt_length() or 0
            sha256 = rendered.tokens.sha256(length)
            same = sha256 == generation["prompt_sha256"]
            if not same and rendered.draft.written is not None:
                raise Reject(
                    "prompt_mismatch",
                    f"the prompt part ({length} tokens) has SHA-256 {sha256[:16]}..., the model was"
                    f" given {generation['prompt_sha256'][:16]}..."
                    f" ({generation.get('prompt_tokens', '?')} tokens): another tokenizer, chat"
                    " template, tool schema or date than at the fill stage. Hint:"
                    " completion_tokens: template allows that",
                )
            self.totals["other_prompt"] += not same
        return self.rows.row(
            item.trace,
            rendered,
            item.schema,
            tools_included=item.tools_included,
            turn_index=item.turn,
        )

    def _reject(self, item: Pending, error: Reject) -> None:
        record_id = item.trace.get("id")
        self.writer.reject(
            error,
            file=self.file,
            line=item.line,
            record_id=record_id if isinstance(record_id, str) else None,
        )


def _drafts(chunk: list[Pending]) -> list[Draft]:
    return [item.draft for item in chunk if isinstance(item.draft, Draft)]


def _is_ready(encoding: _Encoding) -> bool:
    _, batch = encoding
    return batch is None or batch.is_ready
