"""The tools that a skeleton is completed with: its own, those that it names, or the configured; and
the grammar of their calls, where calls are constrained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from cbdata.fill.skeletons import Skeleton
from cbdata.judge.judgement import check_argument_schemas
from cbdata.rejects import Reject
from cbdata.render.trace_schemas import TraceSchemas
from cbdata.tools import ToolSchema, ToolSchemaError


class NamesFolders(Protocol):
    """The part of a job that says where tool schemas lie."""

    @property
    def tool_schema_dirs(self) -> Sequence[str]:
        """The folders of ``{version}.json`` files."""
        ...


MakeGrammar = Callable[[ToolSchema], str]
"""The grammar of the calls of some tools; raises ToolSchemaError."""


class SkeletonTools:
    """Finds the tools of the skeletons of one job."""

    def __init__(
        self, job: NamesFolders, configured: ToolSchema, make_grammar: MakeGrammar | None = None
    ) -> None:
        """Look where a job says.

        Args:
            job: Names the folders of tool schemas.
            configured: The schema of skeletons that neither have nor name tools.
            make_grammar: Makes what calls are constrained to; None where they are free.
        """
        self._schemas = TraceSchemas(job.tool_schema_dirs, configured)
        self.configured = configured
        self._make_grammar = make_grammar
        self._faults: dict[str, Reject | None] = {}
        self._grammars: dict[str, str] = {}

    def known(self, skeleton: Skeleton) -> Skeleton:
        """The skeleton with its tools, or with the fault that they have."""
        if skeleton.fault is not None or skeleton.duplicate:
            return skeleton
        try:
            schema = self._schemas.of(skeleton.record) or self.configured
        except Reject as fault:
            # Without its traceback, which would keep the skeleton's frames alive.
            return replace(skeleton, fault=fault.with_traceback(None))
        return replace(skeleton, tools=schema, fault=self._fault(schema))

    def grammar(self, schema: ToolSchema) -> str | None:
        """What calls of the tools of a skeleton without a fault are held to; None where they are
        free.
        """
        return self._grammars.get(schema.digest)

    def _fault(self, schema: ToolSchema) -> Reject | None:
        if schema.digest not in self._faults:
            self._faults[schema.digest] = self._check(schema)
        return self._faults[schema.digest]

    def _check(self, schema: ToolSchema) -> Reject | None:
        """What makes a schema useless, as its own fault; the configured one was checked before."""
        try:
            if schema.digest != self.configured.digest:
                check_argument_schemas(schema)
            if self._make_grammar is not None:
                self._grammars[schema.digest] = self._make_grammar(schema)
        except ToolSchemaError as error:
            return Reject("bad_tools", str(error))
        return None
