"""The environment of a fill job."""

from __future__ import annotations

from pathlib import Path

from cbdata.fill.environment import SOCKET_PATH_LIMIT, prepare_environment


def test_the_environment_is_the_jobs_own_and_offline(tmp_path: Path) -> None:
    environ = {"CB_LOCAL_SCRATCH": str(tmp_path), "HF_HUB_CACHE": "/mine", "MINE": "kept"}
    extra = {"MINE": "overwritten", "EXTRA": "1"}
    scratch = prepare_environment(True, "cache", extra, environ)
    assert scratch.parent == tmp_path and scratch.is_dir()
    for name in ("VLLM_CACHE_ROOT", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
        assert Path(environ[name]).is_relative_to(scratch)
    assert environ["HF_HUB_OFFLINE"] == environ["VLLM_NO_USAGE_STATS"] == environ["EXTRA"] == "1"
    assert environ["HF_HUB_CACHE"] == "/mine", "what the user has set wins"
    assert environ["MINE"] == "kept", "over what the backend wants too"
    assert len(environ["VLLM_RPC_BASE_PATH"]) <= SOCKET_PATH_LIMIT
    online: dict[str, str] = {"CB_LOCAL_SCRATCH": str(tmp_path)}
    assert prepare_environment(False, None, {}, online) != scratch
    assert "HF_HUB_OFFLINE" not in online and "EXTRA" not in online
