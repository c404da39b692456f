"""The export folder as a data set repository of the Hugging Face Hub. The only part of the workflow
that sends anything away, and it runs only where it is asked for by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cbdata.hub import sign_in


class PushError(ValueError):
    """The folder cannot be pushed; the message says what to do."""


def push(folder: Path, outputs: Sequence[str], repo: str, *, private: bool) -> dict[str, Any]:
    """Upload the export, and remove files of an earlier one that are gone.

    The token is that of ``HF_TOKEN`` or of the Hub's own login; none is read from settings.

    Args:
        folder: The export folder.
        outputs: What is pushed: paths below the folder, with a slash at the end of folders. Other
            files of the repository stay as they are.
        repo: The repository, ``owner/name``. It is made if it is not there.
        private: Whether it must be private.

    Returns:
        ``repo``, ``url`` and ``commit`` of what is there now, and ``files``, the names pushed.

    Raises:
        PushError: The Hub cannot be reached, refuses the upload, or has a public repository of this
            name where a private one is asked for.
    """
    # Imported here: it takes a second, and reads HF_HUB_OFFLINE as it is imported.
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
        LocalTokenNotFoundError,
        OfflineModeIsEnabled,
    )

    api = HfApi()
    patterns = [f"{path}*" if path.endswith("/") else path for path in outputs]
    try:
        _make_sure_of(api, repo, private)
        done = api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=folder,
            allow_patterns=patterns,
            ignore_patterns=["*.snakemake_timestamp"],
            delete_patterns=[f"{path}*" for path in outputs if path.endswith("/")],
            commit_message="Circuit-breaker training rows",
        )
    except OfflineModeIsEnabled as error:
        raise PushError(
            "HF_HUB_OFFLINE is set, so nothing was pushed. Fix: unset it for this command, on a"
            " machine with network access"
        ) from error
    except HFValidationError as error:
        raise PushError(f"export_hub_repo: {_first_line(error)}. Fix: name it user/name") from error
    except (HfHubHTTPError, LocalTokenNotFoundError) as error:
        raise PushError(
            f"the Hub refused {repo}: {_first_line(error)}. Fix: sign in with {sign_in()}, with a"
            " token that may write there"
        ) from error
    except HTTPError as error:
        raise PushError(
            f"the Hub cannot be reached: {_first_line(error)}. Fix: push from a machine with"
            " network access"
        ) from error
    return {
        "repo": repo,
        "url": done.commit_url,
        "commit": done.oid,
        "files": sorted(_names(folder, outputs)),
    }


def _make_sure_of(api: Any, repo: str, private: bool) -> None:
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        there = api.repo_info(repo, repo_type="dataset")
    except RepositoryNotFoundError:
        api.create_repo(repo, repo_type="dataset", private=private)
        return
    if private and not there.private:
        raise PushError(
            f"{repo} is there and public, so nothing was pushed. Fix: make it private, name another"
            " one, or set export_hub_private to false"
        )


def _names(folder: Path, outputs: Sequence[str]) -> list[str]:
    found: list[Path] = []
    for path in outputs:
        found += (folder / path).rglob("*") if path.endswith("/") else [folder / path]
    return [
        path.relative_to(folder).as_posix()
        for path in found
        if path.is_file() and path.name != ".snakemake_timestamp"
    ]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return ascii(lines[0])[1:-1].rstrip(".") if lines else type(error).__name__
