"""The tools that a skeleton is completed with: its own, those that it names, or the configured."""

from __future__ import annotations

from dataclasses import replace

from cbdata.fill.job import FillJob
from cbdata.fill.skeletons import Skeleton
from cbdata.judge.judgement import check_argument_schemas
from cbdata.rejects import Reject
from cbdata.render.trace_schemas import TraceSchemas
from cbdata.tools import ToolSchema, ToolSchemaError


class SkeletonTools:
    """Finds the tools of the skeletons of one job."""

    def __init__(self, job: FillJob, configured: ToolSchema) -> None:
        """Look where a job says.

        Args:
            job: Names the folders of tool schemas.
            configured: The schema of skeletons that neither have nor name tools. Where calls are
                constrained, they are to this one.
        """
        self._schemas = TraceSchemas(job.tool_schema_dirs, configured)
        self._configured = configured
        self._constrained = job.settings.constrain_tool_calls
        self._checked: dict[str, Reject | None] = {configured.digest: None}

    def known(self, skeleton: Skeleton) -> Skeleton:
        """The skeleton with its tools, or with the fault that they have."""
        if skeleton.fault is not None or skeleton.duplicate:
            return skeleton
        try:
            schema = self._schemas.of(skeleton.record) or self._configured
        except Reject as fault:
            # Without its traceback, which would keep the skeleton's frames alive.
            return replace(skeleton, fault=fault.with_traceback(None))
        return replace(skeleton, tools=schema, fault=self._fault(schema))

    def _fault(self, schema: ToolSchema) -> Reject | None:
        if schema.digest not in self._checked:
            self._checked[schema.digest] = self._check(schema)
        return self._checked[schema.digest]

    def _check(self, schema: ToolSchema) -> Reject | None:
        """What makes a schema other than the configured one useless."""
        if self._constrained:
            return Reject(
                "tools_not_constrained",
                f"calls are constrained to {self._configured.version}, and the skeleton's tools are"
                f" {schema.version} {schema.digest[:12]}. Hint: constrain_tool_calls=false, or"
                " tool_schema set to the skeleton's",
            )
        try:
            check_argument_schemas(schema)
        except ToolSchemaError as error:
            return Reject("bad_tools", str(error))
        return None
