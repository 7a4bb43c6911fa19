"""What a Hub repository of a model holds: files known by name, checked before any of them leaves the machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import distributions
from pathlib import Path

from ...training.recipe import TRAINING_LOG
from ..checkpoints import require_modest_files
from ..provenance import RECORD, SNAPSHOT, VERIFICATION, read_provenance
from ..quantise import RECORD as QUANTISATION
from ..quantise import read_quantisation
from ..tensor_files import (
    INDEX,
    PICKLES,
    WEIGHTS,
    read_checkpoint,
)

Contents = Mapping[str, Path | bytes]  # path in the repository -> file on this machine, or bytes made here

CARD, LICENSE, RESULTS = "README.md", "LICENSE", ".eval_results/amalia_vl.yaml"
FACTS_FILE = "card.yaml"  # beside the weights: what only a person knows

# Sent when they are there; the first four must be.
REQUIRED = ("config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json")
OPTIONAL = ("added_tokens.json", "chat_template.jinja", "generation_config.json", "special_tokens_map.json", INDEX)
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"  # where adapters are sent alone
# Known, read here or made anew, and never sent as they are.
KEPT_HERE = (TRAINING_LOG, "report.html", "adapter", VERIFICATION, FACTS_FILE, CARD, LICENSE, RECORD, QUANTISATION)

SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
TOKEN = re.compile(rb"hf_[A-Za-z0-9]{30,}")  # a Hub access token


def gather(directory: Path, *, remote_code: bool = True) -> dict[str, Path | bytes]:
    """List what of a model's directory is published, and refuse the directory if anything in it is unknown.

    The exported code is the installed package's own, whatever lies in the directory: what runs on other machines is
    what was tested.

    Args:
        directory: The model, as `save_pretrained` of model and processor wrote it.
        remote_code: Whether the repository is to be loaded with code of its own; a `llava_next` export is not.

    Raises:
        ValueError: A file is unexpected, leads out of the directory, looks like a pickle or holds an access token, or
            one that is needed is missing; the weights are not whole safetensors; the config names no code; the record
            of a conversion is none.
    """
    code = exported_code() if remote_code else {}
    names = {path.name for path in directory.iterdir()}
    if unknown := sorted(name for name in names if name not in KEPT_HERE and not _is_published(name, code)):
        pickles = [name for name in unknown if name.endswith(PICKLES)]
        why = f" ({', '.join(pickles)}: pickles run code when they are read)" if pickles else ""
        raise ValueError(f"{directory} holds files that are not published: {', '.join(unknown)}{why}; move them away")
    if missing := sorted(set(REQUIRED) - names):
        raise ValueError(f"{directory} lacks {', '.join(missing)}; were model and processor both saved there?")
    require_own_files(directory)
    shards = {tensor.file.name: tensor.file for tensor in read_checkpoint(directory).values()}
    if loose := sorted(name for name in names if name.endswith(".safetensors") and name not in shards):
        raise ValueError(f"{directory} holds {', '.join(loose)}, which no index names")
    files = {name: directory / name for name in (*REQUIRED, *OPTIONAL) if name in names}
    for name, path in files.items():
        if TOKEN.search(path.read_bytes()):
            raise ValueError(f"{directory / name} holds what looks like a Hub access token; remove it, and revoke it")
    if remote_code and "auto_map" not in json.loads(files["config.json"].read_bytes()):
        raise ValueError(f"{directory}/config.json has no auto_map, so nobody could load it without the package")
    records: dict[str, Path | bytes] = {}
    if record := read_provenance(directory):
        records[RECORD] = record.published().json().encode()
    if read_quantisation(directory):
        records[QUANTISATION] = directory / QUANTISATION
    return {**files, **shards, **code, **records}


def require_own_files(directory: Path) -> None:
    """Refuse links that lead elsewhere: what is sent, read for the card, or compared is the directory's own.

    Raises:
        ValueError: A name leads out of the directory, or is no plain file; or settings are larger than any model's.
    """
    home = directory.resolve()
    # A snapshot that the Hub's client keeps consists of links to the repository's blobs.
    homes = [home, home.parents[1] / "blobs"] if SNAPSHOT.fullmatch(str(home)) else [home]
    code = exported_code()
    names = (*KEPT_HERE, ADAPTER_CONFIG, ADAPTER_WEIGHTS)
    known = (path for path in directory.iterdir() if path.name in names or _is_published(path.name, code))
    for path in sorted(known):
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(place) for place in homes):
            raise ValueError(f"{path} leads to {real}, out of the directory; copy into it what is to be published")
        if not real.is_file() and not (path.name == "adapter" and real.is_dir()):
            raise ValueError(f"{path} is no plain file, so it is not published")
    require_modest_files(directory)


def exported_code() -> dict[str, Path]:
    """List the package's files that a repository carries, so that it loads where the package is not installed."""
    package = Path(__file__).parents[2]
    islands = (package / "modeling", package / "processing")
    return {path.name: path for island in islands for path in sorted(island.glob("*_amalia_vl.py"))}


def license_text(directory: Path, name: str) -> bytes:
    """Read the licence's text: the directory's own, or this package's when the names agree.

    Raises:
        ValueError: There is neither.
    """
    own = directory / LICENSE
    if own.is_file():
        return own.read_bytes()
    if name == "apache-2.0":
        for installed in distributions(name="amalia-vl-hf"):  # a checkout's own record, if it is found first, has none
            if shipped := installed.read_text(f"licenses/{LICENSE}"):
                return shipped.encode()
    raise ValueError(f"the text of licence {name} is not at hand; put it into {own}")


def differences(contents: Contents, remote: Mapping[str, tuple[int, str]]) -> tuple[list[str], list[str]]:
    """Hold what is to be published against what a repository has.

    Args:
        contents: What the repository shall hold.
        remote: Size in bytes and object id of each file there: SHA-256 of large files, git's of small ones.

    Returns:
        Paths to send, and paths to remove: leftovers of an earlier push, such as shards of another splitting. Files
        of other names are left alone.
    """
    changed = [path for path, content in contents.items() if not _same(content, remote.get(path))]
    code = exported_code()
    ours = (path for path in remote if _is_published(path, code) or path in (RESULTS, RECORD, QUANTISATION))
    return changed, sorted(path for path in ours if path not in contents)


def total_size(paths: Iterable[str], contents: Contents) -> int:
    """Count the bytes of these files together."""
    return sum(size_of(contents[path]) for path in paths)


def size_of(content: Path | bytes) -> int:
    """Count the bytes of a file, or of what will be one."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _is_published(name: str, code: Mapping[str, Path]) -> bool:
    return name in (*REQUIRED, *OPTIONAL, WEIGHTS, *code) or SHARD.fullmatch(name) is not None


def _same(content: Path | bytes, remote: tuple[int, str] | None) -> bool:
    """Compare by size first: most files that differ do in size, and hashing 19 GB takes a minute."""
    if remote is None or remote[0] != size_of(content):
        return False
    digest = hashlib.sha256() if len(remote[1]) == 64 else hashlib.sha1(usedforsecurity=False)
    if digest.name == "sha1":
        digest.update(b"blob %d\0" % remote[0])
    if isinstance(content, bytes):
        digest.update(content)
    else:
        with content.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest() == remote[1]
