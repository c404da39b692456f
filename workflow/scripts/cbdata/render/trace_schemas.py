"""Which tools a trace was made with: those it carries, or those of the schema that it names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from cbdata.rejects import Reject
from cbdata.tools import ToolSchema, ToolSchemaError, load_tool_schema, own_tools

_KEPT = 256
"""So many lists of tools of traces are kept, for sources whose traces repeat them."""


class TraceSchemas:
    """Looks up tool schemas by what a trace itself says, and never by anything else.

    A trace says it by ``tools``, or by ``raw_metadata.tool_schema_ref``: the file
    ``{version}.json`` of one of the folders whose content has that digest, or the configured one.
    Files are read once.
    """

    def __init__(self, folders: Sequence[str | Path], configured: ToolSchema | None = None) -> None:
        """Look in some folders.

        Args:
            folders: Where ``{version}.json`` files lie.
            configured: A further schema, wherever its file lies.
        """
        self._folders = [Path(folder) for folder in folders]
        self._configured = configured
        self._by_version: dict[str, list[ToolSchema]] = {}
        self._own: dict[bytes, ToolSchema] = {}

    def of(self, trace: Mapping[str, Any]) -> ToolSchema | None:
        """The schema of a trace, None where it neither has nor names tools.

        Raises:
            Reject: The tools cannot be used, or the named schema is not there or has changed.
            ToolSchemaError: A tool schema file cannot be used.
        """
        tools = trace.get("tools")
        if tools is not None:
            return self._inline(tools)
        reference = trace["raw_metadata"].get("tool_schema_ref")
        if reference is None:
            return None
        found = self._named(reference["version"])
        for schema in found:
            if schema.digest == reference["digest"]:
                return schema
        if not found:
            raise Reject(
                "tool_schema_missing",
                f"tool schema {reference['version']!r} is neither the configured tool_schema nor a"
                " file of configs/tool_schemas. Hint: tool_schema_dirs names further folders",
            )
        raise Reject(
            "tool_schema_changed",
            f"tool schema {reference['version']} has digest"
            f" {' and '.join(schema.digest for schema in found)}, the trace was made with"
            f" {reference['digest']}",
        )

    def _inline(self, tools: Any) -> ToolSchema:
        key = orjson.dumps(tools)  # with its order of keys, which a chat template prints
        schema = self._own.get(key)
        if schema is None:
            try:
                schema = own_tools(tools)
            except ToolSchemaError as error:
                raise Reject("bad_tools", str(error)) from error
            if len(self._own) >= _KEPT:
                self._own.clear()
            self._own[key] = schema
        return schema

    def _named(self, version: str) -> list[ToolSchema]:
        if version not in self._by_version:
            found = []
            if self._configured is not None and self._configured.version == version:
                found.append(self._configured)
            # A version is a name in raw data: it must not lead out of the folders.
            # Nor need it be one that a file can have, which pathlib does not take for no file.
            if "/" not in version and "\0" not in version:
                paths = [folder / f"{version}.json" for folder in self._folders]
                found += [load_tool_schema(path) for path in paths if os.path.isfile(path)]
            if not found:  # of these there may be as many as there are traces
                return []
            self._by_version[version] = found
        return self._by_version[version]
