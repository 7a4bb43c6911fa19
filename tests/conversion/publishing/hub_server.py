"""A small model hub on loopback, in memory: enough of the real one's HTTP for pushing and loading, and for faults.

It is strict where a client can do harm: a commit is applied whole or not at all, refers only to objects whose bytes
arrived and have the promised SHA-256, and is refused when its parent is no longer the branch's head. Large files come
and go by LFS, or by Xet when the hub is given a local store of that kind.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from tests.conversion.publishing.xet_store import XetStore

LFS_FROM = 16384  # bytes from which a file goes to the object store; the real hub also looks at names
TOKEN = "hf_loopback"
WAIT = 60.0  # s; no handler holds a connection longer

Answer = tuple[int, Any, dict[str, str]]  # status, content or what becomes JSON, headers

ROUTES = (
    ("create", "POST", r"/api/repos/create"),
    ("validate-yaml", "POST", r"/api/validate-yaml"),
    ("preupload", "POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/preupload/(?P<revision>[^/]+)"),
    ("lfs-batch", "POST", r"/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch"),
    ("lfs-put", "PUT", r"/lfs/(?P<oid>[0-9a-f]{64})"),
    ("xet-token", "GET", r"/api/models/(?P<repo>[^/]+/[^/]+)/xet-(?P<use>read|write)-token/(?P<revision>[^/]+)"),
    ("commit", "POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/commit/(?P<revision>[^/]+)"),
    ("branch", "POST", r"/api/models/(?P<repo>[^/]+/[^/]+)/branch/(?P<branch>[^/]+)"),
    ("tree", "GET", r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)(?P<folder>/.*)?"),
    ("info", "GET", r"/api/models/(?P<repo>[^/]+/[^/]+)(/revision/(?P<revision>[^/]+))?"),
    ("resolve", "GET|HEAD", r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<path>.+)"),
)


@dataclass
class Fault:
    """What goes wrong at an endpoint: a status, a cut connection, or a request held until it is let go.

    Args:
        status: Answered instead of doing anything.
        cut: `"before"` closes the connection without doing anything, `"after"` once all is done.
        times: How many requests it strikes.
        hold: Keeps the request until it is set.
        then: The fault that follows when this one has struck as often as it does.
        reached: Set when a request is struck.
        finished: Set when a struck request is over.
    """

    status: int | None = None
    cut: str | None = None
    times: int = 1
    hold: threading.Event | None = None
    then: dict[str, Any] | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)


@dataclass
class Repository:
    """Branches, each a list of commits, oldest first; a commit is its id and the bytes of every file."""

    private: bool
    branches: dict[str, list[tuple[str, dict[str, bytes]]]]

    def at(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Find a branch's head or a commit by its id."""
        if revision in self.branches:
            return self.branches[revision][-1]
        commits = (commit for branch in self.branches.values() for commit in branch)
        return next((commit for commit in commits if commit[0] == revision), None)


class HubServer:
    """The hub, served from 127.0.0.1 on a free port while the context lasts."""

    def __init__(self, xet: XetStore | None = None) -> None:
        self.xet = xet  # where large files are; LFS's objects in memory when None
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.faults: dict[str, Fault] = {}
        self.store: str | None = None  # where clients are sent with large files, this server when None
        self.requests: Counter[str] = Counter()
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            server_state = hub

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    def fail(self, endpoint: str, fault: Fault) -> Fault:
        """Let `endpoint` fail from now on, as often as the fault says."""
        assert endpoint in {name for name, _, _ in ROUTES}
        self.faults[endpoint] = fault
        return fault

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes]:
        """What a repository holds, `{}` where there is none."""
        commit = self.repositories[repo].at(revision) if repo in self.repositories else None
        return commit[1] if commit else {}

    def commits(self, repo: str, revision: str = "main") -> int:
        """Commits on a branch after the one that every repository begins with."""
        return len(self.repositories[repo].branches[revision]) - 1 if repo in self.repositories else 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say what went wrong here; that clients vanish is part of the tests."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = WAIT
    disable_nagle_algorithm = True  # or each answer waits 40 ms for an acknowledgement of its headers
    server_state: HubServer

    def do_GET(self) -> None:
        self._handle()

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _handle(self) -> None:
        body = self._body()
        path = unquote(urlsplit(self.path).path)
        for name, methods, pattern in ROUTES:
            if self.command in methods.split("|") and (match := re.fullmatch(pattern, path)):
                return self._answer(name, match.groupdict(), body)
        self._send(404, {"error": f"no route {self.command} {path}"})

    def _answer(self, name: str, groups: dict[str, str], body: bytes) -> None:
        fault = self._next_fault(name)
        if fault is None:
            self._send(*self._result(name, groups, body))
            return
        fault.reached.set()
        if fault.hold:
            fault.hold.wait(WAIT)
        try:
            self._strike(fault, name, groups, body)
        finally:
            fault.finished.set()

    def _strike(self, fault: Fault, name: str, groups: dict[str, str], body: bytes) -> None:
        if fault.status:
            self._send(fault.status, b"<html>")  # a gateway's page, no JSON
        elif fault.cut == "before":
            self.close_connection = True
        else:
            result = self._result(name, groups, body)
            if fault.cut == "after":
                self.close_connection = True
            else:
                self._send(*result)

    def _next_fault(self, name: str) -> Fault | None:
        """Count the request, and take one strike off the endpoint's fault."""
        hub = self.server_state
        with hub.lock:
            hub.requests[name] += 1
            fault = hub.faults.get(name)
            if fault is None:
                return None
            fault.times -= 1
            if not fault.times:
                del hub.faults[name]
                if fault.then:
                    hub.faults[name] = Fault(**fault.then)
            return fault

    def _result(self, name: str, groups: dict[str, str], body: bytes) -> Answer:
        try:
            with self.server_state.lock:
                answer: Answer = getattr(self, "_" + name.replace("-", "_"))(groups, body)
                return answer
        except _RefusedError as refusal:
            code = {"X-Error-Code": refusal.code} if refusal.code else {}
            return refusal.status, {"error": str(refusal)}, {"X-Error-Message": str(refusal), **code}

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _send(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _require_token(self) -> None:
        if not self._authorised():
            raise _RefusedError(401, "Invalid username or password.")

    def _repository(self, groups: dict[str, str]) -> Repository:
        repository = self.server_state.repositories.get(groups["repo"])
        if repository is None or (repository.private and not self._authorised()):
            raise _RefusedError(404, "Repository not found", "RepoNotFound")
        return repository

    def _at(self, groups: dict[str, str]) -> tuple[str, dict[str, bytes]]:
        commit = self._repository(groups).at(groups.get("revision") or "main")
        if commit is None:
            raise _RefusedError(404, f"Invalid rev id: {groups['revision']}", "RevisionNotFound")
        return commit

    def _create(self, groups: dict[str, str], body: bytes) -> Answer:
        self._require_token()
        asked = json.loads(body)
        repo = f"{asked['organization']}/{asked['name']}"
        answer = {"url": f"{self.server_state.url}/{repo}"}
        if repo in self.server_state.repositories:
            return 409, {"error": "You already created this model repo", **answer}, {}
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        first = (_commit_id("", {}), {".gitattributes": b"*.safetensors filter=lfs\n"})
        self.server_state.repositories[repo] = Repository(private, {"main": [first]})
        return 200, answer, {}

    def _validate_yaml(self, groups: dict[str, str], body: bytes) -> Answer:
        card = json.loads(body)["content"].split("---\n")
        try:
            valid = len(card) > 2 and isinstance(yaml.safe_load(card[1]), dict)
        except yaml.YAMLError:
            valid = False
        errors = [] if valid else [{"message": "no valid metadata"}]
        return 200 if valid else 400, {"errors": errors, "warnings": []}, {}

    def _branch(self, groups: dict[str, str], body: bytes) -> Answer:
        self._require_token()
        repository = self._repository(groups)
        if groups["branch"] in repository.branches:
            raise _RefusedError(409, "Reference already exists")
        repository.branches[groups["branch"]] = repository.branches["main"][:1]
        return 200, {}, {}

    def _info(self, groups: dict[str, str], body: bytes) -> Answer:
        head, files = self._at(groups)
        siblings = [{"rfilename": path} for path in files]
        private = self._repository(groups).private
        return 200, {"id": groups["repo"], "sha": head, "private": private, "siblings": siblings, "tags": []}, {}

    def _tree(self, groups: dict[str, str], body: bytes) -> Answer:
        _, files = self._at(groups)
        if groups["folder"]:
            raise _RefusedError(404, f"no folder {groups['folder']}", "EntryNotFound")
        return 200, [_entry(path, content) for path, content in files.items()], {}

    def _preupload(self, groups: dict[str, str], body: bytes) -> Answer:
        self._require_token()
        _, files = self._at(groups)
        answers = []
        for file in json.loads(body)["files"]:
            mode = "lfs" if file["size"] >= LFS_FROM else "regular"
            oid = _content_oid(files[file["path"]]) if file["path"] in files else None
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return 200, {"files": answers}, {}

    def _lfs_batch(self, groups: dict[str, str], body: bytes) -> Answer:
        self._require_token()
        hub = self.server_state
        objects = []
        for asked in json.loads(body)["objects"]:
            upload = {} if asked["oid"] in hub.objects else {"href": f"{hub.store or hub.url}/lfs/{asked['oid']}"}
            objects.append({**asked, **({"actions": {"upload": upload}} if upload else {})})
        return 200, {"transfer": "basic", "objects": objects}, {}

    def _lfs_put(self, groups: dict[str, str], body: bytes) -> Answer:
        if hashlib.sha256(body).hexdigest() != groups["oid"]:
            raise _RefusedError(400, "the bytes do not have the promised SHA-256")
        self.server_state.objects[groups["oid"]] = body
        return 200, {}, {}

    def _commit(self, groups: dict[str, str], body: bytes) -> Answer:
        self._require_token()
        head, files = self._at(groups)
        files = dict(files)
        for line in map(json.loads, body.splitlines()):
            key, value = line["key"], line["value"]
            if key == "header" and value.get("parentCommit", head) != head:
                raise _RefusedError(412, "A commit has happened since. Please refresh and try again.")
            if key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self._object(value["oid"])
            elif key == "deletedFile":
                del files[value["path"]]
        commit = _commit_id(head, files)
        self._repository(groups).branches[groups["revision"]].append((commit, files))
        return 200, {"commitUrl": f"{self.server_state.url}/{groups['repo']}/commit/{commit}", "commitOid": commit}, {}

    def _object(self, oid: str) -> bytes:
        hub = self.server_state
        if oid not in hub.objects and hub.xet and (stored := hub.xet.find(oid)):
            hub.objects[oid] = hub.xet.read(stored)
        if oid not in hub.objects:
            raise _RefusedError(400, f"no object {oid}")
        return hub.objects[oid]

    def _xet_token(self, groups: dict[str, str], body: bytes) -> Answer:
        """Tell where the store is: the client reads the body, huggingface_hub the headers."""
        store = self.server_state.xet
        if groups["use"] == "write":
            self._require_token()
        self._at(groups)
        if store is None:
            raise _RefusedError(404, "this hub has no Xet store")
        expiry = int(time.time()) + 3600  # s
        headers = {"X-Xet-Cas-Url": store.url, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": str(expiry)}
        return 200, {"casUrl": store.url, "accessToken": "xet", "exp": expiry}, headers

    def _resolve(self, groups: dict[str, str], body: bytes) -> Answer:
        head, files = self._at(groups)
        if groups["path"] not in files:
            raise _RefusedError(404, f"no file {groups['path']}", "EntryNotFound")
        content = files[groups["path"]]
        headers = {"X-Repo-Commit": head, "ETag": f'"{_content_oid(content)}"', "Accept-Ranges": "bytes"}
        store = self.server_state.xet
        if store and (stored := store.find(_content_oid(content))):
            if self.command == "GET":
                raise _RefusedError(400, "this file is read through Xet")
            token = f"{self.server_state.url}/api/models/{groups['repo']}/xet-read-token/{head}"
            headers |= {"X-Xet-Hash": stored.xet_hash, "X-Xet-Refresh-Route": token}
        if wanted := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(wanted[1]), min(int(wanted[2] or len(content) - 1), len(content) - 1)
            return 206, content[start : end + 1], {**headers, "Content-Range": f"bytes {start}-{end}/{len(content)}"}
        return 200, content, headers


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": _git_oid(content)}
    if len(content) >= LFS_FROM:
        entry["lfs"] = {"oid": _content_oid(content), "size": len(content), "pointerSize": 130}
    return entry


def _content_oid(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if len(content) >= LFS_FROM else _git_oid(content)


def _git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _commit_id(parent: str, files: dict[str, bytes]) -> str:
    listing = "".join(f"{path} {_git_oid(content)}\n" for path, content in sorted(files.items()))
    return hashlib.sha1(f"{parent}\n{listing}".encode(), usedforsecurity=False).hexdigest()
