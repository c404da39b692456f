"""What a run reads besides its own files: the files that settings mean, checked while planning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cbdata.config import ConfigError, expand, find_file, name_problems, path_problems
from cbdata.first_look import check_folders, check_raw, check_tokenizer, check_traces
from cbdata.lossmask.registry import Registry, load_registry
from cbdata.mwcs.schedule import ScheduleError, load_schedule, schedule_path
from cbdata.paths import (
    ATTACK_GOALS,
    CHAT_TEMPLATES,
    INJECTION_DEFAULTS,
    POLICY_REGISTRY,
    ROOT,
    SCHEDULES,
    TOOL_SCHEMAS,
)
from cbdata.run_plan import RunPlan
from cbdata.sources.files import input_files
from cbdata.sources.registry import CONFIGURED, RawSource

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
CHEAP_REPORT_BYTES = 64_000_000
"""Up to so much text the report page takes a minute or two on one core (measured: 12 MB of
transcripts in 7 to 20 seconds), so that a run makes it at its end.
"""

MODEL_FILES = ("config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja")


def exists(value: str) -> bool:
    """Whether there is a file or folder of this name, in the working directory or in the
    workflow.
    """
    path = expand(value)
    return Path(path).exists() or (ROOT / path).exists()


def _bytes_of(files: Iterable[str]) -> int:
    return sum(Path(file).stat().st_size for file in files if Path(file).is_file())


def tool_schema_dirs(config: Mapping[str, Any]) -> list[str]:
    """The folders of the tool schemas that traces may name: the project's, and the configured ones.
    Raises ConfigError.
    """
    key = "tool_schema_dirs"
    return [str(TOOL_SCHEMAS), *(find_file(key, folder, ROOT) for folder in config[key])]


class RunInputs:
    """The files that the settings of a run mean.

    Every method raises an error with the setting and the fix where there is no such file or no such
    name: ConfigError, SourceError, PolicyError or ScheduleError.
    """

    def __init__(self, plan: RunPlan) -> None:
        self.plan, self.config = plan, plan.config
        self.policies: Registry = load_registry(POLICY_REGISTRY)
        self._files_below: dict[str, list[str]] = {}

    def first_look(self) -> None:
        """Refuse a file or folder of the wrong kind, by its first bytes. A missing one is told by
        whoever needs it. Of a folder the first file is looked at: a mistake there is one of the
        whole folder.
        """
        check_folders(self.plan.folders)
        for source in self.plan.converted:
            for path in filter(exists, self._given(source)):
                first = self._below(source, path)[0]
                check_raw(source.config_key, first)
        if not self.config["skip_fill"]:
            for skeletons in self.plan.skeleton_sets:
                check_traces("skeleton_traces", skeletons.path)
        if exists(self.config["tokenizer"]):
            check_tokenizer("tokenizer", find_file("tokenizer", self.config["tokenizer"], ROOT))
        for path in self.plan.given.values():
            check_traces("input_traces", path)

    def resource(self, key: str) -> str:
        """The file that a setting names, in the working directory or in the workflow."""
        return find_file(key, self.config[key], ROOT)

    def local_files(self, key: str, *names: str) -> list[str]:
        """The named files of a setting that is a local directory, or the file that it is. As inputs
        of a rule they run it again when they change. Empty for the id of a model on the hub.
        """
        value = self.config[key]
        path = Path(value) if value else None
        if path is None or not path.exists():
            return []
        if problems := path_problems(key, str(path)):
            raise ConfigError(problems)
        if path.is_file():
            return [str(path)]
        return [str(path / name) for name in names if (path / name).exists()]

    def tokenizer_files(self) -> list[str]:
        """The files that decide about renders, of a tokenizer that is a local directory."""
        return self.local_files("tokenizer", *TOKENIZER_FILES)

    def model_files(self) -> list[str]:
        """The small files that decide about completions, of a model that is a local directory."""
        return self.local_files("model", *MODEL_FILES)

    def template_files(self) -> list[str]:
        """The chat template's file, where the configuration names one."""
        name = "llama31_tools" if self.config["force_llama"] else self.config["chat_template"]
        path = CHAT_TEMPLATES / f"{name}.jinja"
        return [str(path)] if name and path.exists() else self.local_files("chat_template")

    def raw_files(self, source: RawSource) -> list[str]:
        """The raw files of a source."""
        if not source.tree:
            return [self.resource(source.config_key)]
        return sorted({file for path in self._given(source) for file in self._below(source, path)})

    def report_is_cheap(self) -> bool:
        """Whether the report page takes little time: by the raw files of the run or the traces that
        are there already, whichever is more. A missing file is told by the rule that needs it.
        """
        raw = [
            file
            for source in self.plan.converted
            for path in filter(exists, self._given(source))
            for file in self._below(source, path)
        ]
        traces = map(self.plan.traces, self.plan.dataset_names)
        return max(_bytes_of(raw), _bytes_of(traces)) <= CHEAP_REPORT_BYTES

    def _given(self, source: RawSource) -> list[str]:
        """The paths that the configuration names for a source."""
        value = self.config[source.config_key]
        return [value] if isinstance(value, str) else list(value)

    def _below(self, source: RawSource, path: str) -> list[str]:
        """The raw files of one path, searched for once: a tree may hold thousands."""
        key = source.config_key
        found = find_file(key, path, ROOT)
        if not source.tree:
            return [found]
        if found not in self._files_below:
            self._files_below[found] = input_files([found], key)
        return self._files_below[found]

    def tool_schemas(self, source: RawSource) -> list[str]:
        """The tool schemas that the traces of a source refer to."""
        if source.tool_schemas is None:
            return []
        if source.tool_schemas == CONFIGURED:
            return [self.resource(CONFIGURED)]
        return sorted(
            str(path)
            for folder in self.tool_schema_dirs()
            for path in Path(folder).glob(source.tool_schemas)
        )

    def tool_schema_dirs(self) -> list[str]:
        """The folders of the tool schemas that traces may name."""
        return tool_schema_dirs(self.config)

    def decision_tables(self, stem: str) -> dict[str, str]:
        """The tables that decision points of a source are cut with: ``goals`` and ``defaults``.

        Args:
            stem: The source, as its complete traces and skeletons begin.
        """
        name = f"{self.plan.cut[stem].goals}.json"
        return {"goals": str(ATTACK_GOALS / name), "defaults": str(INJECTION_DEFAULTS / name)}

    # Loss masks

    def policy(self, value: str | Mapping[str, Any] | None) -> str | Mapping[str, Any] | None:
        """A policy of the configuration or of a path as it is, looked up before any job runs."""
        if value is not None:
            self.policies.entry(value if isinstance(value, str) else value["policy"])
        return value

    def schedule(self) -> str | None:
        """The checked file of the configured curriculum, None without one."""
        if not self.config["mwcs_schedule"]:
            return None
        path = schedule_path(self.config["mwcs_schedule"], SCHEDULES)
        load_schedule(path)
        if problems := name_problems("mwcs_schedule", path.stem):
            raise ConfigError(problems)
        return str(path)

    def named_schedule(self, name: str) -> str:
        """The configured curriculum's file where the name is its stem, else one of the project."""
        configured = self.schedule()
        if configured is not None and Path(configured).stem == name:
            return configured
        return str(schedule_path(name, SCHEDULES))

    def step(self, value: str) -> int:
        """The training step of a path below ``lossmasks/by_step``; it needs a curriculum."""
        if not self.config["mwcs_schedule"]:
            raise ScheduleError(
                f"lossmasks/by_step/{value}: mwcs_schedule is not set. Fix: snakemake --config"
                " mwcs_schedule=balanced_cb ..."
            )
        return int(value)

    def lossmask_files(self, name: str) -> dict[str, str]:
        """What the masks of a data set are made from: renders, their traces and the registry; with
        a curriculum also its file and the class counts that it is checked against.
        """
        files = {
            "renders": self.plan.data("render", name),
            "traces": self.plan.traces(name),
            "registry": str(POLICY_REGISTRY),
        }
        schedule = self.schedule()
        if schedule is not None:
            files |= {"mwcs_schedule": schedule, "mixture": f"{self.plan.out}/mwcs/classes.json"}
        return files

    def weight_tables(self) -> list[str]:
        """The table of the configured curriculum, or of every one of the project's own, each from
        step 0 to its end.
        """
        configured = self.schedule()
        files = [Path(configured)] if configured else sorted(SCHEDULES.glob("*.yaml"))
        return [self._whole_table(file.stem) for file in files]

    def _whole_table(self, name: str) -> str:
        last = load_schedule(self.named_schedule(name)).phases[-1].end
        return f"{self.plan.out}/mwcs/{name}/weights_0_to_{last}.csv"
