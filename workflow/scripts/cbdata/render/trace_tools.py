"""Which tool schema belongs to a trace, and whether its tools are in the render."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cbdata.records import Trace
from cbdata.rejects import Reject
from cbdata.render.trace_schemas import TraceSchemas
from cbdata.tools import ToolSchema, load_tool_schema


class TraceTools:
    """The tools of traces as renders show them: a trace's own, or those that it names; never
    those of another source.
    """

    def __init__(
        self,
        folders: Sequence[str | Path],
        configured: str | Path | None,
        tools_included: bool | None,
    ) -> None:
        """Read the configured schema.

        Args:
            folders: Where ``{version}.json`` files lie.
            configured: The configured schema's file, for traces that name it; or None.
            tools_included: Whether traces that were not completed here show their tools; None:
                those that have or name any do, as long as they are not too long for it.
        """
        self._schemas = TraceSchemas(folders, load_tool_schema(configured) if configured else None)
        self._included = tools_included

    def wanted(self, trace: Trace) -> bool:
        """Whether the tools of a trace that shows them must be shown: the model that completed it
        was shown them, or the configuration says so.
        """
        return "generation" in trace["raw_metadata"] or self._included is True

    def of(self, trace: Trace) -> tuple[ToolSchema | None, bool]:
        """The schema of a trace, or None, and whether its tools are rendered.

        A completed trace's prompt had its tools, so they are always rendered. Raises Reject where
        a referenced schema is missing or has changed, or where tools are wanted and the trace does
        not say which.
        """
        filled = "generation" in trace["raw_metadata"]
        schema = self._schemas.of(trace)
        if schema is not None:
            return schema, filled or self._included is not False
        if filled:
            raise Reject(
                "tool_schema_unknown",
                "the trace was completed by a model, and does not say with which tools (tools, or"
                " raw_metadata.tool_schema_ref)",
            )
        if self._included:
            raise Reject(
                "tool_schema_unknown",
                "tools_included is true, and the trace neither has nor names tools. Hint:"
                " tools_included=null shows tools where there are any",
            )
        return None, False
