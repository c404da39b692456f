"""Which tool schema belongs to a trace, and whether its tools are in the render."""

from __future__ import annotations

from pathlib import Path

from cbdata.records import Trace
from cbdata.rejects import Reject
from cbdata.tools import ToolSchema, load_tool_schema


class TraceTools:
    """Looks up tool schemas by what a trace stores of its own (``raw_metadata.tool_schema_ref``).

    The configured schema serves by its version, and for traces without a reference if
    ``tools_included``; the others are ``{folder}/{version}.json``. Files are read once.
    """

    def __init__(
        self, folder: str | Path | None, configured: str | Path | None, tools_included: bool
    ) -> None:
        """Read the configured schema.

        Args:
            folder: Where ``{version}.json`` files lie, or None.
            configured: The configured schema's file, or None.
            tools_included: Whether traces that were not completed here show their tools.
        """
        self._folder = Path(folder) if folder else None
        self._configured = load_tool_schema(configured) if configured else None
        self._included = tools_included
        self._by_version: dict[str, ToolSchema | None] = {}

    def of(self, trace: Trace) -> tuple[ToolSchema | None, bool]:
        """The schema of a trace, or None, and whether its tools are rendered.

        A completed trace's prompt had its tools, so they are always rendered; for others
        ``tools_included`` decides. Raises Reject where a referenced schema is missing or has
        changed, or where tools are wanted and none are known.
        """
        metadata = trace["raw_metadata"]
        filled = "generation" in metadata
        included = filled or self._included
        reference = metadata.get("tool_schema_ref")
        if reference is None:
            if filled:
                raise Reject(
                    "tool_schema_unknown",
                    "the trace was completed by a model, and does not say with which tools"
                    " (raw_metadata.tool_schema_ref)",
                )
            if included and self._configured is None:
                raise Reject(
                    "tool_schema_unknown",
                    "tools_included is set, the trace names no tool schema and none is configured",
                )
            return (self._configured, True) if included else (None, False)
        schema = self._lookup(reference["version"])
        if schema is None:
            where = "neither the configured tool_schema nor a file of configs/tool_schemas"
            raise Reject("tool_schema_missing", f"tool schema {reference['version']!r} is {where}")
        if schema.digest != reference["digest"]:
            raise Reject(
                "tool_schema_changed",
                f"tool schema {reference['version']} has digest {schema.digest}, the trace was made"
                f" with {reference['digest']}",
            )
        return schema, included

    def _lookup(self, version: str) -> ToolSchema | None:
        if self._configured is not None and self._configured.version == version:
            return self._configured
        if version not in self._by_version:
            path = self._folder / f"{version}.json" if self._folder and "/" not in version else None
            self._by_version[version] = load_tool_schema(path) if path and path.is_file() else None
        return self._by_version[version]
