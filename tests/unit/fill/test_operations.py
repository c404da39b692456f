"""The job file, the lock, the environment, the model's folder and the checks before it
is loaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from cbdata.fill import preflight as preflight_module
from cbdata.fill.environment import SOCKET_PATH_LIMIT, prepare_environment
from cbdata.fill.job import (
    FillJob,
    FillSettings,
    JobError,
    RuntimeSettings,
    load_job,
    semantic_params,
    settings_from,
)
from cbdata.fill.models import (
    ModelMissing,
    context_length,
    find_model,
    folder_fingerprint,
    weight_type,
)
from cbdata.fill.preflight import PreflightError, preflight, visible_gpus
from cbdata.fill.shard import engine_context
from cbdata.fill.lock import ShardBusy, ShardLock


@pytest.fixture
def model_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"max_position_embeddings": 2048}')
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 10)
    return folder


@pytest.fixture
def job(tmp_path: Path, repo: Path, model_folder: Path) -> FillJob:
    skeletons = tmp_path / "skeletons.jsonl"
    skeletons.write_bytes(b"")
    settings = FillSettings(model=str(model_folder), use_vllm=False)
    tools = repo / "configs/tool_schemas/b4_standard_v1.json"
    return FillJob(
        str(skeletons),
        str(tools),
        str(tmp_path / "out.jsonl"),
        str(tmp_path / "progress"),
        0,
        1,
        None,
        settings,
        RuntimeSettings(),
    )


def test_a_job_file_reads_back_as_it_was(job: FillJob, tmp_path: Path) -> None:
    job.save(tmp_path / "job.json")
    assert load_job(tmp_path / "job.json") == job


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shard": 1}, "shard 1 of 1"),
        ({"settings": {"colour": 1}}, "unknown keys"),
        ({"settings": []}, "expected an object"),
        ({"runtime": None}, "expected an object"),
        ({"extra": 1}, "unknown keys"),
    ],
)
def test_a_wrong_job_file_says_what_is_wrong(
    job: FillJob, tmp_path: Path, change: dict, message: str
) -> None:
    path = tmp_path / "job.json"
    job.save(path)
    path.write_bytes(orjson.dumps({**orjson.loads(path.read_bytes()), **change}))
    with pytest.raises(JobError, match=message):
        load_job(path)
    with pytest.raises(JobError, match=r"absent\.json"):
        load_job(tmp_path / "absent.json")


def test_every_setting_of_a_job_is_a_configuration_key(repo: Path) -> None:
    from cbdata.config import resolve_config

    config = resolve_config({})
    assert settings_from(config, FillSettings) == FillSettings(**semantic_params(config))
    assert settings_from(config, RuntimeSettings).cache_dir == config["cache_dir"]


HOLD = """
import sys, time
from cbdata.fill.lock import ShardBusy, ShardLock
try:
    with ShardLock(sys.argv[1]):
        print("held", flush=True)
        time.sleep(float(sys.argv[2]))
except ShardBusy as error:
    print(error)
"""


def lock_elsewhere(lock: Path, seconds: float, **env: str) -> subprocess.Popen[str]:
    """Another process that takes the lock and holds it."""
    scripts = Path(__file__).resolve().parents[3] / "workflow/scripts"
    command = [sys.executable, "-c", HOLD, lock, str(seconds)]
    return subprocess.Popen(
        command, env={"PYTHONPATH": str(scripts), **env}, stdout=subprocess.PIPE, text=True
    )


def test_the_second_job_on_a_shard_stops_and_names_the_first(tmp_path: Path) -> None:
    lock = tmp_path / "0-of-1.lock"
    with ShardLock(lock):
        message = lock_elsewhere(lock, 0).communicate()[0]
        assert (
            "another job works on this shard" in message
            and f'"pid":{os.getpid()}' in message
            and "Hint" in message
        )
    assert lock_elsewhere(lock, 0).communicate()[0] == "held\n"


def test_a_killed_jobs_lock_is_free_again(tmp_path: Path) -> None:
    lock = tmp_path / "0-of-1.lock"
    with lock_elsewhere(lock, 60) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(ShardBusy):
            ShardLock(lock).__enter__()
        holder.kill()
        holder.wait()
    with ShardLock(lock):
        pass


def test_a_requeued_job_waits_for_what_is_left_of_its_first_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM gives a node up that it cannot reach and starts the job elsewhere under the same id,
    while the node may go on working.
    """
    monkeypatch.setattr("cbdata.fill.lock.POLL_S", 0.05)
    lock = tmp_path / "0-of-1.lock"
    with lock_elsewhere(lock, 1.0, SLURM_JOB_ID="7") as first_try:
        assert first_try.stdout is not None and first_try.stdout.readline() == "held\n"
        monkeypatch.setenv("SLURM_JOB_ID", "8")
        with pytest.raises(ShardBusy):
            ShardLock(lock).__enter__()
        monkeypatch.setenv("SLURM_JOB_ID", "7")
        with ShardLock(lock):
            assert first_try.stdout.read() == "" and first_try.wait(10) == 0


def test_the_environment_is_the_jobs_own_and_offline(tmp_path: Path) -> None:
    environ = {"CB_LOCAL_SCRATCH": str(tmp_path), "HF_HUB_CACHE": "/mine"}
    scratch = prepare_environment(True, "cache", environ=environ)
    assert scratch.parent == tmp_path and scratch.is_dir()
    for name in ("VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert Path(environ[name]).is_relative_to(scratch)
    assert environ["HF_HUB_OFFLINE"] == environ["VLLM_NO_USAGE_STATS"] == "1"
    assert environ["HF_HUB_CACHE"] == "/mine", "what the user has set wins"
    assert len(environ["VLLM_RPC_BASE_PATH"]) <= SOCKET_PATH_LIMIT
    online: dict[str, str] = {"CB_LOCAL_SCRATCH": str(tmp_path)}
    assert (
        prepare_environment(False, None, True, online) != scratch and "HF_HUB_OFFLINE" not in online
    )
    assert (
        online["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0"
        and "VLLM_ENABLE_V1_MULTIPROCESSING" not in environ
    )


def test_a_model_folder_is_known_by_its_weights_and_configuration(model_folder: Path) -> None:
    before = folder_fingerprint(model_folder)
    (model_folder / "README.md").write_text("notes")
    assert folder_fingerprint(model_folder) == before
    weights = bytearray((model_folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model_folder / "model.safetensors").write_bytes(weights)
    assert folder_fingerprint(model_folder) != before
    found = find_model(str(model_folder), None, None, offline=True)
    assert (
        found.commit is None
        and found.context == 2048
        and found.fingerprint == folder_fingerprint(model_folder)
    )


def test_a_cached_snapshot_is_known_by_its_commit(tmp_path: Path, model_folder: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "hub/models--org--name/snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    model_folder.rename(snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text(commit)
    found = find_model("org/name", None, str(tmp_path / "hub"), offline=True)
    assert (found.path, found.commit, found.fingerprint) == (snapshot, commit, commit)


@pytest.mark.parametrize(
    ("model", "revision", "message"),
    [
        ("org/name", None, "make cache-model MODEL=org/name"),
        ("org/name", "v2", "REVISION=v2"),
        ("./nowhere", None, "no such folder"),
        ("not a model", None, "make cache-model"),
    ],
)
def test_a_missing_model_says_how_to_get_it(
    tmp_path: Path, model: str, revision: str | None, message: str
) -> None:
    with pytest.raises(ModelMissing, match=message):
        find_model(model, revision, str(tmp_path), offline=True)


def test_half_a_model_folder_is_refused(model_folder: Path) -> None:
    with pytest.raises(ModelMissing, match="has no revision"):
        find_model(str(model_folder), "main", None, offline=True)
    (model_folder / "model.safetensors").unlink()
    with pytest.raises(ModelMissing, match="no weights"):
        find_model(str(model_folder), None, None, offline=True)
    (model_folder / "config.json").unlink()
    with pytest.raises(ModelMissing, match=r"no config\.json"):
        find_model(str(model_folder), None, None, offline=True)


def test_context_length_of_text_and_multimodal_models() -> None:
    assert context_length({"max_position_embeddings": 131072}) == 131072
    assert (
        context_length(
            {"text_config": {"max_position_embeddings": 8192}, "max_position_embeddings": 1}
        )
        == 8192
    )
    assert context_length({"n_positions": 1024}) == 1024
    assert context_length({}) is None


def test_the_engines_context_is_what_the_job_needs_within_the_models() -> None:
    assert engine_context(855 + 256, 131072) == 1280
    assert engine_context(1280, 131072) == 1280
    assert engine_context(2000, 2010) == 2010


def test_a_cpu_computes_in_float32_unless_told_otherwise() -> None:
    assert [
        weight_type("auto", True),
        weight_type("bfloat16", True),
        weight_type("auto", False),
    ] == ["float32", "bfloat16", "auto"]


@pytest.mark.parametrize(
    ("listed", "count"),
    [
        ("0", 1),
        ("0,1,2,3", 4),
        ("", 0),
        ("-1", 0),
        ("GPU-8932f937-d72c,MIG-b7f824fd", 2),
        ("1, 3", 2),
        ("0,-1,2", 1),
    ],
)
def test_visible_gpus_counts_numbers_uuids_and_mig_names(listed: str, count: int) -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": listed}) == count


def test_preflight_passes_what_is_there(job: FillJob, model_folder: Path) -> None:
    model, tools = preflight(job)
    assert model.path == model_folder and "search_web" in tools.names


def test_preflight_names_every_problem_at_once(job: FillJob, tmp_path: Path) -> None:
    broken = replace(
        job,
        skeletons=str(tmp_path / "none.jsonl"),
        tool_schema=str(tmp_path / "none.json"),
        settings=replace(job.settings, model="org/name"),
        runtime=replace(job.runtime, cache_dir=str(tmp_path)),
    )
    with pytest.raises(PreflightError) as caught:
        preflight(broken)
    for part in ("make cache-model MODEL=org/name", "none.json", "none.jsonl"):
        assert part in str(caught.value)
    with pytest.raises(PreflightError, match=r"more than the model's own 2048"):
        preflight(replace(job, settings=replace(job.settings, max_model_len=4096)))


def test_preflight_counts_gpus_for_the_gpu_build(
    job: FillJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cbdata.fill.backends import vllm_backend

    monkeypatch.setattr(vllm_backend, "vllm_version", lambda: ("0.32.0", False))
    monkeypatch.setattr(preflight_module.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    wanting = replace(
        job,
        settings=replace(job.settings, use_vllm=True),
        runtime=replace(job.runtime, tensor_parallel=4),
    )
    with pytest.raises(
        PreflightError,
        match=r"tensor_parallel=4 needs 4 GPUs and this job sees 2 \(CUDA_VISIBLE_DEVICES 0,1",
    ):
        preflight(wanting)
    preflight(replace(wanting, runtime=replace(job.runtime, tensor_parallel=2)))


def test_preflight_without_vllm_says_what_to_install(
    job: FillJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(PreflightError, match=r"vllm cannot be imported.*use_vllm=false"):
        preflight(replace(job, settings=replace(job.settings, use_vllm=True)))
    with pytest.raises(PreflightError, match="torch and transformers cannot be imported"):
        preflight(job)
