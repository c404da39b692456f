"""The tools that a skeleton is completed with, and skeletons whose tools cannot be used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cbdata.fill.call_reading import calls_grammar
from cbdata.fill.plan import plan_shard
from cbdata.fill.requests import Sampling
from cbdata.fill.skeleton_tools import SkeletonTools
from cbdata.fill.skeletons import Skeleton
from cbdata.jsonl import dumps, read_records
from cbdata.rejects import Reject
from cbdata.schemas import first_error
from cbdata.tools import ToolSchema, ToolSchemaError, load_tool_schema
from tests.schemas import own_tool, schema_file
from tests.unit.fill.world import ToyBackend, ToyRenderer, World

BROKEN = {"type": "function", "function": {"name": "x", "parameters": {"type": 3}}}


def skeleton(ref: dict[str, str] | None = None, **fields: Any) -> Skeleton:
    metadata = {} if ref is None else {"tool_schema_ref": ref}
    return Skeleton(1, {"id": "s", "raw_metadata": metadata, **fields})


def test_own_tools_then_named_ones_then_the_configured(world: World, tmp_path: Path) -> None:
    named = load_tool_schema(schema_file(tmp_path / "more", "other_v1"))
    job = replace(world.job(), tool_schema_dirs=[str(tmp_path / "more")])
    tools = SkeletonTools(job, world.tools)
    own = tools.known(skeleton(dict(named.ref), tools=[own_tool("mine")])).tools
    assert own is not None and own.names == ("mine",)
    assert tools.known(skeleton(dict(named.ref))).tools == named
    assert tools.known(skeleton(dict(world.tools.ref))).tools == world.tools
    assert tools.known(skeleton()).tools == world.tools


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (skeleton({"version": "gone_v1", "digest": "0"}), "tool_schema_missing"),
        (skeleton({"version": "demo_v1", "digest": "0"}), None),
        (skeleton(tools=[]), "bad_tools"),
        (skeleton(tools=[BROKEN]), "bad_tools"),
    ],
)
def test_tools_that_cannot_be_used_are_the_skeleton_s_fault(
    world: World, given: Skeleton, reason: str | None
) -> None:
    found = SkeletonTools(world.job(), world.tools).known(given)
    assert found.fault is not None
    assert found.fault.reason == (reason or "tool_schema_missing")


def test_calls_are_held_to_the_tools_of_each_skeleton(world: World) -> None:
    def make_grammar(schema: ToolSchema) -> str:
        if "odd" in schema.names:
            raise ToolSchemaError("no grammar of this")
        return " | ".join(schema.names)

    tools = SkeletonTools(world.job(), world.tools, make_grammar)
    for given, names in (
        (skeleton(tools=[own_tool("mine")]), "mine"),
        (skeleton(), " | ".join(world.tools.names)),
    ):
        found = tools.known(given)
        assert found.fault is None and found.tools is not None
        assert tools.grammar(found.tools) == names
    odd = tools.known(skeleton(tools=[own_tool("odd")]))
    assert odd.fault is not None
    assert (odd.fault.reason, odd.fault.detail) == ("bad_tools", "no grammar of this")
    free = SkeletonTools(world.job(), world.tools)
    found = free.known(skeleton(tools=[own_tool("odd")]))
    assert found.tools is not None and free.grammar(found.tools) is None


def test_requests_are_held_to_the_grammar_of_their_own_tools(world: World) -> None:
    records = [record for _, record in read_records(world.skeletons)]
    for record in records[:5]:
        record["tools"] = [*world.tools.tools, own_tool("mine")]
        del record["raw_metadata"]["tool_schema_ref"]
    world.skeletons.write_bytes(b"".join(map(dumps, records)))
    own = {record["id"] for record in records[:5]}
    grammar = calls_grammar(ToyRenderer(), world.calls.settled, world.tools)
    world.calls = replace(world.calls, grammar=grammar)
    backend = ToyBackend()
    world.run(backend, constrain_tool_calls=True)
    assert len(backend.seen) == 80
    for request in backend.seen:
        assert request.grammar is not None
        assert (request.grammar == grammar) == (request.trace_id not in own)
        assert ("mine" in request.grammar) == (request.trace_id in own)
    assert len({request.sampling_sha256 for request in backend.seen}) == 80
    world.tools = replace(world.tools, tools=(*world.tools.tools, own_tool("more")), digest="1")
    again = ToyBackend()
    world.run(again, constrain_tool_calls=True)
    assert own.isdisjoint(request.trace_id for request in again.seen)


def test_a_skeleton_that_has_a_fault_or_is_a_copy_keeps_what_it_has(world: World) -> None:
    fault = Reject("invalid_trace", "no")
    tools = SkeletonTools(world.job(), world.tools)
    for given in (Skeleton(1, {}, fault), Skeleton(1, {}, duplicate=True)):
        assert tools.known(given) == given


def test_prompts_show_each_skeleton_its_own_tools(world: World) -> None:
    records = [record for _, record in read_records(world.skeletons)][:2]
    names = (*world.tools.names, "mine")
    records[1]["tools"] = [own_tool(name) for name in names]
    del records[1]["raw_metadata"]["tool_schema_ref"]
    world.skeletons.write_bytes(b"".join(map(dumps, records)))
    shown: list[tuple[str, ...]] = []

    def render(messages: Any, tools: Any) -> Any:
        shown.append(tuple(tool["function"]["name"] for tool in tools))
        return ToyRenderer().prompt(messages, tools)

    job = world.job()
    sampling = {mode: Sampling(job.settings, mode, {}) for mode in job.settings.modes}
    plan = plan_shard(job, SkeletonTools(job, world.tools), render, sampling, 4096)
    assert set(shown) == {world.tools.names, names}
    kept = plan.skeletons[records[1]["id"]].tools
    assert kept is not None and kept.names == names


def test_a_completed_trace_carries_the_tools_that_its_skeleton_has(world: World) -> None:
    records = [record for _, record in read_records(world.skeletons)]
    for record in records:
        record["tools"] = [*world.tools.tools, own_tool("mine")]
        del record["raw_metadata"]["tool_schema_ref"]
    world.skeletons.write_bytes(b"".join(map(dumps, records)))
    files = world.merge([world.run(ToyBackend(), 0, 1)])
    traces = [trace for part in files.values() for _, trace in read_records(part.out)]
    assert traces
    for trace in traces:
        assert first_error("trace_v1", trace) is None
        assert [tool["function"]["name"] for tool in trace["tools"]][-1] == "mine"
        assert "tool_schema_ref" not in trace["raw_metadata"]
