"""What a run makes: its data sets, the stages that each passes through, and where the files lie.

Rules ask the plan; it knows the configuration and the registry of sources, and nothing of
Snakemake. What a run reads is in ``cbdata.run_inputs``.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from cbdata.config import ConfigError, trace_sources
from cbdata.records import MODES, STAGE_FOLDERS, Mode, Stage
from cbdata.skeleton_sets import DEFAULT_SET, KEY, SkeletonSet, skeleton_sets
from cbdata.sources.registry import SOURCES, RawSource
from cbdata.suggest import did_you_mean

logger = logging.getLogger(__name__)

StageName = tuple[Stage, str]
"""A stage and the data set whose files it makes."""

RUN_FOLDERS = ("traces", "renders", "lossmasks")
"""What there is of every data set of a run, for the stages that read all of them."""


OTHER_FOLDERS = (
    "lossmasks/by_policy",
    "lossmasks/by_step",
    "fill/progress",
    "fill/shards",
    "parts/render",
    "parts/lossmask",
    "mwcs",
    "validation",
    "report",
    "export",
)
"""The other folders that rules write to, beside those of rejects and stats."""


class RunPlan:
    """The plan of one run.

    Files of earlier runs count where a stage is skipped, so the plan may look for them on disk.
    """

    def __init__(self, config: Mapping[str, Any], sources: Sequence[RawSource] = SOURCES) -> None:
        """Plan a run.

        Args:
            config: The configuration as ``resolve_config`` returns it.
            sources: The sources that there are.

        Raises:
            ConfigError: ``input_traces`` or ``skeleton_traces`` cannot be used, ``source_splits``
                names no source, or ``class_caps`` a class that no trace of the run can have.
        """
        self.config = config
        self.sources = tuple(sources)
        self._check_names(config["source_splits"])
        self.out: str = config["output_base"]
        # Data set -> trace file of ``input_traces``.
        self.given = trace_sources(config, self.out)
        if config["decision_points"] is not None and not self.cut:
            keys = " or ".join(source.config_key for source in self.sources if source.goals)
            fix = f"Fix: set {keys}, or decision_points=null"
            raise ConfigError([f"decision_points: there are no complete traces to cut. {fix}"])
        modes: tuple[Mode, ...] = MODES if config["mode"] == "both" else (config["mode"],)
        self.skeleton_sets = skeleton_sets(config[KEY], modes, self.traces)
        self._check_skeletons()
        self._check_classes(config["class_caps"])

    def _check_names(self, named: Iterable[str]) -> None:
        """Refuse names that are those of no source."""
        names = [source.name for source in (*SOURCES, *self.sources)]
        problems = [
            f"source_splits: {name!r} is no source; "
            + (did_you_mean(name, names) or f"the sources are {', '.join(names)}")
            for name in named
            if name not in names
        ]
        if problems:
            raise ConfigError(problems)

    def _check_classes(self, capped: Iterable[str]) -> None:
        """Refuse classes that no source and no later stage gives its traces. Traces that a user
        gives by path may have others, so then it is no more than a warning.
        """
        known = {self.config["conversations_class"]}
        for source in self.sources:
            ends = (*(source.classes or ()), "skeleton", *MODES)
            known.update(f"{source.name}/{end}" for end in ends)
        any_class = tuple(f"{source.name}/" for source in self.sources if source.classes is None)
        unknown = [name for name in capped if name not in known and not name.startswith(any_class)]
        problems = [
            f"class_caps: no trace has the class {name!a}; "
            + (did_you_mean(name, known) or f"the classes are {', '.join(sorted(known))}")
            for name in unknown
        ]
        own = all(path == self._own("traces", name) for name, path in self.given.items())
        if problems and own and not any(part.by_path for part in self.skeleton_sets):
            raise ConfigError(problems)
        for problem in problems:
            logger.warning("%s (or it is one of a file of yours)", problem)

    def _check_skeletons(self) -> None:
        """Refuse a set that is named and that nothing makes; the default set may be left out."""
        named = [part for part in self.skeleton_sets if part.name != DEFAULT_SET]
        if self.given or self.config["skip_fill"] or not named:
            return
        problems = []
        for part in self.skeleton_sets:
            keys = [each.config_key for each in self.sources if each.dataset == part.name]
            cut = [each for each in self.sources if each.goals and each.stem == part.stem]
            if not self.fills(part):
                fix = f"set {' or '.join(keys)}"
            elif cut and not (part.by_path or part.stem in self.cut or Path(part.path).exists()):
                fix = "set decision_points=injection"
            else:
                continue
            problems.append(
                f"{KEY}: {part.name}: nothing makes these skeletons. Fix: {fix}, or leave the set"
                " out"
            )
        if problems:
            raise ConfigError(problems)

    # Paths

    def traces(self, name: str) -> str:
        """The trace file of a data set: one of ``input_traces``, or ``traces/{name}.jsonl``."""
        return self.given.get(name, self._own("traces", name))

    def data(self, stage: Stage, name: str) -> str:
        """The data file that a stage writes for a data set."""
        return self._own(STAGE_FOLDERS[stage], name)

    def side_files(self, stage: Stage, name: str = "{name}", below: str = "") -> dict[str, str]:
        """What a stage writes beside its data, as ``{"rejects": path, "stats": path}``.

        Args:
            stage: The stage.
            name: The data set, or a wildcard for it.
            below: A folder below that of the stage, with a slash at its end.
        """
        return {
            "rejects": f"{self.out}/rejects/{stage}/{below}{name}.jsonl",
            "stats": f"{self.out}/stats/{stage}/{below}{name}.json",
        }

    def _own(self, folder: str, name: str) -> str:
        return f"{self.out}/{folder}/{name}.jsonl"

    @property
    def folders(self) -> dict[str, list[str]]:
        """The folders that a run makes, by the configuration's key that puts them there."""
        stages = [f"{kind}/{stage}" for kind in ("rejects", "stats") for stage in STAGE_FOLDERS]
        below = [*RUN_FOLDERS, *OTHER_FOLDERS, *stages]
        return {
            "output_base": [f"{self.out}/{folder}" for folder in below],
            "log_dir": [f"{self.config['log_dir']}/benchmarks"],
        }

    def own_traces(self, name: str) -> bool:
        """Whether the trace file of a data set is one that this workflow makes, so that it may be
        empty: the stage that made it has said why.
        """
        made = {source.dataset for source in self.sources}
        filled = name.endswith(tuple(f"_{mode}" for mode in MODES))
        return (name in made or filled) and self.traces(name) == self._own("traces", name)

    # What takes part

    def configured(self, source: RawSource) -> bool:
        """Whether the configuration names raw data of a source."""
        return bool(self.config[source.config_key])

    @property
    def converted(self) -> list[RawSource]:
        """The sources that this run converts."""
        return [
            source
            for source in self.sources
            if self.configured(source) and not self.config["skip_load"]
        ]

    @property
    def loaded(self) -> list[str]:
        """The data sets of the load stage: those of this run, and of an earlier one that it uses.

        Skeletons of an earlier run are named by ``skeleton_traces`` and need no key here.
        """
        return [source.dataset for source in self.sources if self._takes_part(source)]

    @property
    def cut(self) -> dict[str, RawSource]:
        """The sources whose complete traces are cut at their decision points, by the name that
        ``X_complete`` and ``X_skeletons`` begin with.
        """
        if self.config["decision_points"] is None:
            return {}
        return {
            source.stem: source
            for source in self.sources
            if source.goals and not source.skeletons and self._takes_part(source)
        }

    def _takes_part(self, source: RawSource) -> bool:
        return self.configured(source) or (
            not source.skeletons
            and self.config["skip_load"]
            and Path(self._own("traces", source.dataset)).exists()
        )

    def fills(self, part: SkeletonSet) -> bool:
        """Whether a skeleton set takes part: its source is converted, or its traces are there.

        They are there where they were given by path, where load or fill is skipped, and where no
        source makes a set of this name, so that it can only be the user's own.
        """
        makers = [source for source in self.sources if source.dataset == part.name]
        return (
            self.config["skip_load"]
            or self.config["skip_fill"]
            or part.by_path
            or not makers
            or any(map(self.configured, makers))
        )

    @property
    def fill_sets(self) -> tuple[SkeletonSet, ...]:
        """The sets that the rules of the fill stage complete, in one job each shard: those that
        take part, or all, whose files can then be asked for by their paths.
        """
        taking_part = tuple(part for part in self.skeleton_sets if self.fills(part))
        return taking_part or self.skeleton_sets

    @property
    def filled_names(self) -> list[str]:
        """The data sets of the fill stage."""
        return [name for part in self.skeleton_sets if self.fills(part) for name in part.filled]

    @property
    def dataset_names(self) -> list[str]:
        """The data sets that ``all`` and ``lossmask`` render and mask, in the order of the run."""
        if self.given:
            return list(self.given)
        skeletons = {source.dataset for source in self.sources if source.skeletons}
        return self.filled_names + [name for name in self.loaded if name not in skeletons]

    def check_target(self, target: Literal["load", "fill", "all"]) -> list[str]:
        """Refuse a target for which there is nothing to do: a run that ends well must have made
        something.

        Args:
            target: A stage's target, or ``all`` for those that need data sets to the end.

        Returns:
            No files: an input function of the target can return what this does.

        Raises:
            ConfigError: No data set takes part.
        """
        parts = {
            "load": self.loaded or list(self.cut),
            "fill": self.filled_names,
            "all": self.dataset_names,
        }
        if parts[target]:
            return []
        made = [name for name in self.loaded if name.endswith("_skeletons")]
        made += [f"{stem}_skeletons" for stem in self.cut]
        if target == "fill" and made:
            fix = f"Fix: set skeleton_traces to {', '.join(made)}, which this run makes"
            raise ConfigError([f"fill: skeleton_traces names no skeletons of this run. {fix}"])
        keys = ", ".join(source.config_key for source in self.sources)
        fix = f"Fix: set one of {keys}"
        if target == "fill" and self.loaded:
            fix = (
                f"{', '.join(self.loaded)} are complete and need no completions: take lossmask,"
                " or cut them with decision_points (docs/decision_points.md). Fix: set the path"
                " of a source of skeletons"
            )
        if target != "load":
            fix += ", or skeleton_traces to a file of skeletons"
        if target == "all":
            fix += ", or input_traces to a file of traces"
        raise ConfigError([f"{target}: there is no data set to make. {fix}"])

    # Stages

    @property
    def stages(self) -> list[StageName]:
        """Every stage and data set whose files this run makes, in the order of the pipeline."""
        stages: list[StageName] = [("etl_a", source.dataset) for source in self.converted]
        stages += [("cut", f"{stem}_skeletons") for stem in self.cut]
        if not self.config["skip_fill"]:
            stages += [("fill", name) for name in self.filled_names]
        stages += [("render", name) for name in self.dataset_names]
        stages += [("lossmask", name) for name in self.dataset_names]
        return [entry for entry in stages if self._counts(*entry)]

    @property
    def all_stages(self) -> list[StageName]:
        """``stages``, after the skipped ones whose stats and rejects an earlier run left."""
        skipped: list[StageName] = []
        if self.config["skip_load"]:
            names = [part.name for part in self.skeleton_sets]
            names += [source.dataset for source in self.sources if not source.skeletons]
            skipped += [("etl_a", name) for name in names]
        if self.config["skip_fill"]:
            skipped += [("fill", name) for name in self.filled_names]
        earlier = [
            entry
            for entry in skipped
            if self._counts(*entry)
            and all(Path(path).exists() for path in self.side_files(*entry).values())
        ]
        return earlier + self.stages

    def _counts(self, stage: Stage, name: str) -> bool:
        """Whether a stage's files belong to this run. With ``input_traces``, load and fill count
        only where one of their own files is taken.
        """
        if not self.given or stage in ("render", "lossmask"):
            return True
        taken = {name for name, path in self.given.items() if path == self._own("traces", name)}
        return name in taken or any(
            stage in ("etl_a", "cut") and name == part.name and taken & set(part.filled)
            for part in self.skeleton_sets
        )

    # What the rules read that look at the whole run

    @property
    def run_files(self) -> dict[str, list[str]]:
        """Trace, render and loss mask files of every data set, by folder, in one order."""
        return {
            folder: [
                self.traces(name) if folder == "traces" else self._own(folder, name)
                for name in self.dataset_names
            ]
            for folder in RUN_FOLDERS
        }

    def side_files_of(self, stages: Collection[StageName]) -> dict[str, list[str]]:
        """``{"rejects": [...], "stats": [...]}`` of some stages, in their order."""
        return {
            kind: [self.side_files(*entry)[kind] for entry in stages]
            for kind in ("rejects", "stats")
        }

    def used_skeletons(self, stages: Collection[StageName]) -> list[str]:
        """The skeleton files that some stages have completed."""
        return [
            part.path
            for part in self.skeleton_sets
            if any(("fill", name) in stages for name in part.filled)
        ]
