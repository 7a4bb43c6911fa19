"""Publish a model on the Hub: checked first, then sent in one commit, which lands whole, once, or not at all."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_session, set_client_factory
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import RepoFile

from ...training.recipe import TRAINING_LOG
from ..checkpoints import file_hashes
from ..llava_next import export_checkpoint
from ..provenance import (
    RECORD,
    VERIFICATION,
    CheckpointSource,
    read_provenance,
    source_at,
)
from ..quantise import read_quantisation
from .adapter import build_adapter_card, gather_adapter, is_adapter
from .card import (
    CardError,
    Place,
    build_card,
    read_facts,
    read_results,
    results_yaml,
)
from .repository import (
    CARD,
    FACTS_FILE,
    LICENSE,
    RESULTS,
    Contents,
    differences,
    gather,
    license_text,
    require_own_files,
    size_of,
    total_size,
)

MESSAGE = "Publish the model with amalia-vl-hf"

# What a gateway answers while it is busy, and 412: the branch moved, perhaps by our own commit whose answer was lost.
TRANSIENT = frozenset({408, 412, 429, 500, 502, 503, 504})
RETRY_SECONDS = 20.0  # from the first failure on; with huggingface_hub's own 23 s of retries that is under a minute
TIMEOUT = (4.0, 60.0, 60.0, 60.0)  # s to connect, read, write, get a connection; huggingface_hub sets none
# Left alone, Xet tries an unreachable store for 2.5 minutes. What the user has set counts for more.
XET_LIMITS = {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "2", "HF_XET_CLIENT_CONNECT_TIMEOUT": "5s"}

# Of whichever HTTP library this huggingface_hub uses.
HTTPError: type[Exception] = cast(Any, HfHubHTTPError.__bases__[0])


class PushError(ValueError):
    """A push that was refused or did not get through; the message is one line."""


@dataclass(frozen=True)
class Release:
    """What is published, and where.

    Args:
        directory: The model and its processor, as `save_pretrained` wrote them; or adapters, as PEFT did.
        repo_id: `organisation/name` on the Hub.
        private: Whether the repository must be private.
        revision: Branch, made when it is not there; `main` when left out.
        facts: YAML with what only a person knows, `card.yaml` in the directory when left out.
        results: JSON with evaluation results.
        export_id: Repository of the model's `llava_next` export, which needs no code and which vLLM reads; none when
            left out.
    """

    directory: Path
    repo_id: str
    private: bool = False
    revision: str | None = None
    facts: Path | None = None
    results: Path | None = None
    export_id: str | None = None


def push(release: Release, *, unverified: bool = False, api: HfApi | None = None) -> list[str]:
    """Publish a model in one commit, and its export in one; doing it again sends only what is missing.

    A commit names the one before as its parent, so that trying again after a lost answer cannot make a second one.

    Args:
        release: What, and where.
        unverified: Publish although nobody verified the model against its source.
        api: The Hub; the one of `HF_ENDPOINT` when left out.

    Returns:
        Addresses of the commits.

    Raises:
        PushError: The model is not verified, or the Hub refused or could not be reached.
        ValueError: The directory holds what is not published, or lacks what is needed; or llava_next cannot express
            the model that is to be exported.
        CardError: The card has slots without a value.
    """
    require_own_files(release.directory)
    if not unverified:
        _require_verified(release.directory)
    contents = contents_of(release)
    api = api or HfApi()
    releases = [(release, contents)]
    with ExitStack() as places, _bounded_requests():
        if release.export_id:  # made before anything is sent: a disk that is full ends it here
            scratch = places.enter_context(TemporaryDirectory(prefix=".export-", dir=release.directory.parent))
            releases.append((replace(release, repo_id=release.export_id), _exported(release, Path(scratch))))
        commits = [(each.repo_id, _publish(api, each, files)) for each, files in releases]
    return [f"{api.endpoint}/{repo_id}/commit/{commit}" for repo_id, commit in commits]


def describe(release: Release, *, unverified: bool = False, api: HfApi | None = None) -> tuple[str, list[str]]:
    """Say what `push` would do, and change nothing anywhere.

    Returns:
        Files with their sizes in bytes, a line each, and what would be sent; and the problems that forbid it.

    Raises:
        ValueError: The directory holds what is not published, or lacks what is needed.
    """
    problems = []
    require_own_files(release.directory)
    try:
        if not unverified:
            _require_verified(release.directory)
    except PushError as error:
        problems.append(str(error))
    try:
        contents = contents_of(release)
    except CardError as error:
        contents = {} if is_adapter(release.directory) else gather(release.directory)
        problems += [f"card: {problem}" for problem in error.problems]
    lines = [f"{size_of(content):>16,}  {path}" for path, content in sorted(contents.items())]
    lines.append(f"{total_size(contents, contents):>16,}  bytes in {len(contents)} files for {release.repo_id}")
    with _bounded_requests():
        lines.append(_describe_sending(api or HfApi(), release, contents))
    if release.export_id:
        lines.append(f"{'':>16}  and its export, made when it is pushed, for {release.export_id}")
    return "\n".join(lines), problems


def contents_of(release: Release) -> dict[str, Path | bytes]:
    """Gather a repository's files: model, processor, code, card, licence and results.

    Raises:
        ValueError: The directory holds what is not published, or lacks what is needed.
        CardError: The card has slots without a value.
    """
    facts = _facts(release)
    if not is_adapter(release.directory):
        return _completed(gather(release.directory), release, facts, is_export=False)
    if release.export_id:
        raise ValueError(f"{release.directory} holds adapters alone, which have no export; push the model")
    return _completed(gather_adapter(release.directory, facts), release, facts, is_export=False)


def _facts(release: Release) -> dict[str, Any]:
    """Read what only a person knows; beside adapters there may be the file of the model that they are merged into."""
    places = [release.facts or release.directory / FACTS_FILE]
    if is_adapter(release.directory):
        places.append(release.directory.resolve().parent / FACTS_FILE)
    return read_facts(next((place for place in places if place.is_file()), places[0]))


def _exported(release: Release, scratch: Path) -> dict[str, Path | bytes]:
    """Export the model and gather that; Pillow resizes for it whatever the processor's resampler is."""
    record = export_checkpoint(release.directory, scratch / "export", resampler="pil").record
    files = gather(scratch / "export", remote_code=False)
    files[RECORD] = replace(record, sources={"model": CheckpointSource(release.repo_id, None)}).json().encode()
    return _completed(files, release, _facts(release), is_export=True)


def _completed(
    files: dict[str, Path | bytes], release: Release, facts: dict[str, Any], *, is_export: bool
) -> dict[str, Path | bytes]:
    """Add what is not in a model's directory: card, licence and results."""
    measured = [release.directory, *([release.directory.resolve().parent] if is_adapter(release.directory) else ())]
    results = read_results(release.results, measured) if release.results else []
    place = Place(release.repo_id, release.export_id, is_export, release.private)
    build = build_adapter_card if is_adapter(release.directory) else build_card
    files[CARD] = build(release.directory, place, facts, results).encode()
    files[LICENSE] = license_text(release.directory, facts["license"])
    if results:
        files[RESULTS] = results_yaml(results).encode()
    return files


def _require_verified(directory: Path) -> None:
    """Refuse a model without a report that it, with these very files, equals its source.

    What was trained or quantised here has no source that it could equal, and needs none; nor do adapters. A report
    that is there counts all the same. How answers are drawn is no part of that: `generation_config.json` may have
    changed since. An imported model names its source; for any other, the report may be of whatever it was compared
    with.
    """
    path, own, source = directory / VERIFICATION, source_at(directory).name, _source_name(directory)
    unequal = (directory / TRAINING_LOG).is_file() or read_quantisation(directory) is not None
    if not path.exists() and (is_adapter(directory) or unequal):
        return
    command = f"amalia-vl convert verify {source or 'SOURCE'} {directory} --json {path}"
    remedy = f"run `{command}`, or push with --unverified"
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        passed, sides = report["passed"], [report["first"], report["second"]]
        hashes = [dict(report.get(f"{side}_files", {})) for side in ("first", "second")]
    except FileNotFoundError:
        raise PushError(f"{path} is missing, so nothing shows that the model equals its source; {remedy}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PushError(f"{path} is not a report of `amalia-vl convert verify`: {error!r}; {remedy}") from error
    if sides.count(own) != 1:
        raise PushError(f"{path} compares {sides[0]} with {sides[1]}, not {own}; {remedy}")
    if source and source not in sides:
        raise PushError(f"{path} compares {sides[0]} with {sides[1]}, not with {source}, its source; {remedy}")
    if passed is not True:
        raise PushError(f"{path} says that {sides[0]} and {sides[1]} differ; {remedy}")
    now, then = file_hashes(directory), hashes[sides.index(own)]
    compared = gather(directory).keys() & now.keys() - {"generation_config.json"}
    if others := sorted(name for name in compared if now[name] != then.get(name)):
        raise PushError(f"{path} compares a model with another {', '.join(others)}; {remedy}")


def _source_name(directory: Path) -> str | None:
    """Name what an imported model was converted from; None where nothing says it, or only a directory's last name."""
    record = read_provenance(directory)
    name = record.sources["model"].name if record and record.kind == "import" else ""
    return name if "/" in name else None


def _publish(api: HfApi, release: Release, contents: Contents) -> str:
    """Try until it is there, for as long as trying again may help."""
    failed: float | None = None
    wait = 0.5
    while True:
        try:
            return _attempt(api, release, contents)
        except PushError:
            raise
        except (HTTPError, OSError, RuntimeError, ValueError) as error:
            now = time.monotonic()
            failed = failed or now
            if not _is_transient(error) or now + wait > failed + RETRY_SECONDS:
                raise PushError(
                    f"{api.endpoint} did not take {release.repo_id}: {_reason(error)}; the repository is as it was or "
                    "complete, and the same command goes on from here"
                ) from error
        time.sleep(wait)
        wait *= 2


def _attempt(api: HfApi, release: Release, contents: Contents) -> str:
    """Compare with the branch's head and commit the difference on top of it; return the id of the complete state."""
    api.create_repo(release.repo_id, private=release.private or None, exist_ok=True)
    head = _head(api, release)
    changed, stale = differences(contents, _remote_files(api, release.repo_id, head))
    if not changed and not stale:
        return head
    # `upload_folder` would split into several commits, and repeat one whose answer was lost, where it uses Xet.
    commit = api.create_commit(
        release.repo_id,
        [
            *(CommitOperationAdd(path, contents[path]) for path in changed),
            *(CommitOperationDelete(path) for path in stale),
        ],
        commit_message=MESSAGE,
        revision=release.revision,
        parent_commit=head,
    )
    return str(commit.oid)


def _head(api: HfApi, release: Release) -> str:
    """Find the commit that a push builds on; a branch that is missing is made first."""
    info = api.repo_info(release.repo_id)
    if release.private and not info.private:
        raise PushError(f"{release.repo_id} exists and is public, but --private was asked; change it on the Hub first")
    if release.revision:
        try:
            info = api.repo_info(release.repo_id, revision=release.revision)
        except RevisionNotFoundError:
            api.create_branch(release.repo_id, branch=release.revision, exist_ok=True)
            info = api.repo_info(release.repo_id, revision=release.revision)
    return str(info.sha)


def _remote_files(api: HfApi, repo_id: str, revision: str) -> dict[str, tuple[int, str]]:
    entries = api.list_repo_tree(repo_id, revision=revision, recursive=True)
    files = (entry for entry in entries if isinstance(entry, RepoFile))
    return {file.path: (file.size, file.lfs.sha256 if file.lfs else file.blob_id) for file in files}


def _describe_sending(api: HfApi, release: Release, contents: Contents) -> str:
    try:
        head = api.repo_info(release.repo_id, revision=release.revision).sha
        remote = _remote_files(api, release.repo_id, str(head))
    except (RepositoryNotFoundError, RevisionNotFoundError):
        remote = {}
    except (HTTPError, OSError, ValueError) as error:
        return f"how much of it {api.endpoint} has is not known: {_reason(error)}"
    changed, stale = differences(contents, remote)
    removed = f"; removed: {', '.join(stale)}" if stale else ""
    return f"{total_size(changed, contents):>16,}  bytes to send, in {len(changed)} files{removed}"


def _is_transient(error: BaseException) -> bool:
    """Say whether trying again may help: the Hub is busy, the connection was cut, a gateway's page came for JSON."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in TRANSIENT
    return isinstance(error, HTTPError | json.JSONDecodeError)


def _reason(error: BaseException) -> str:
    """Say an error and its cause in one line; huggingface_hub's take several."""
    if isinstance(error, json.JSONDecodeError):
        return "its answer was no JSON, as when a gateway answers in its place"
    reason = " ".join(str(error).split()) or type(error).__name__
    return (
        f"{reason} ({_reason(error.__cause__)})" if error.__cause__ and str(error.__cause__) not in reason else reason
    )


@contextmanager
def _bounded_requests() -> Iterator[None]:
    """Let no request to a store that does not answer wait forever."""
    plain = get_session()
    ours = {name: limit for name, limit in XET_LIMITS.items() if name not in os.environ}
    os.environ.update(ours)
    set_client_factory(lambda: _like(plain, TIMEOUT))
    try:
        yield
    finally:
        set_client_factory(lambda: _like(plain, plain.timeout))
        for name in ours:
            del os.environ[name]


def _like(client: Any, timeout: Any) -> Any:
    """Make a client with the same hooks and other limits; huggingface_hub makes new ones after failures."""
    return type(client)(event_hooks=client.event_hooks, follow_redirects=client.follow_redirects, timeout=timeout)
