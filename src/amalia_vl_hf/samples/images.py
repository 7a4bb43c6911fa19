"""Images and videos as rows name them: by paths below a folder that is known, or by their bytes; never fetched."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from ..disk import write_json

_LONGEST = 4096  # characters of a path


def located(cell: Any, root: Path, kind: str = "image") -> Any:
    """Give an image or a video of a row as training reads it: the whole path, or the cell with its bytes.

    Args:
        cell: What the row holds: a path, an address, `{"bytes": ..., "path": ...}`, bytes, or a picture; of a video
            maybe a list of them, its frames.
        root: Folder that paths are relative to, and that they must not leave.
        kind: `image` or `video`.

    Raises:
        ValueError: It is of another kind, or a path out of the folder.
    """
    if isinstance(cell, list | tuple) and kind == "video":
        return [located(frame, root) for frame in cell]
    if isinstance(cell, Mapping) and cell.get("bytes") is None and cell.get("path") is not None:
        cell = cell["path"]
    require_stored(cell, kind)
    if not isinstance(cell, str | Path) or is_address(cell):
        return cell
    if len(str(cell)) > _LONGEST or "\0" in str(cell):
        raise ValueError(f"no such image: a path of {len(str(cell))} characters, {str(cell)[:60]!r}...")
    path = root / cell
    if not path.resolve().is_relative_to(_home(root.absolute())):
        raise ValueError(
            f"{cell} is outside {root}; if that is meant, name the folder of the images: `images` in a mixture or a "
            "recipe, --images of data check"
        )
    return str(path)


def require_image(cell: Any, what: str = "an image") -> None:
    """Hold a row's image to be a path, bytes or a picture: nothing that could be fetched or read in another way.

    Raises:
        ValueError: It is anything else.
    """
    if isinstance(cell, Mapping):
        kind = f"a cell whose bytes are {type(cell.get('bytes')).__name__}"
        sound = isinstance(cell.get("bytes"), bytes | bytearray | memoryview) and isinstance(
            cell.get("path"), str | None
        )
    else:
        kind, sound = type(cell).__name__, isinstance(cell, str | Path | bytes | bytearray | Image.Image)
    if not sound:
        raise ValueError(f"{what} must be a path, or a cell with its bytes, not {kind}")


def require_stored(cell: Any, kind: str) -> None:
    """Hold a row's image or video to be stored; a video may come as a list of its frames.

    Args:
        cell: What the row holds.
        kind: `image` or `video`.

    Raises:
        ValueError: It is anything else.
    """
    frames = kind == "video" and isinstance(cell, list | tuple) and len(cell) > 0
    for one in cell if frames else (cell,):
        require_image(one, "an image" if kind == "image" else "a video")


def each_cell(cells: Iterable[Any]) -> Iterator[Any]:
    """Yield cells, and in the place of a list of frames each of them."""
    for cell in cells:
        yield from cell if isinstance(cell, list | tuple) else (cell,)


def stored_bytes(cell: Any) -> bytes:
    """Give the file of an image or a video, as it is stored; of a list of frames one after the other."""
    return b"".join(
        Path(one).read_bytes() if isinstance(one, str) else bytes(one["bytes"]) for one in each_cell([cell])
    )


def is_there(path: str | Path) -> bool:
    """Tell whether a path is a file's; one that no file can have is not."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_address(cell: str | Path) -> bool:
    """Tell an address from a path."""
    return str(cell).lower().startswith(("http://", "https://"))


@lru_cache(maxsize=64)
def _home(root: Path) -> Path:
    """Give the folder that files must be in: of a snapshot in the Hub's cache, the repository whose files it links."""
    whole = root.resolve()
    snapshots = next((folder for folder in whole.parents if folder.name == "snapshots"), None)
    return snapshots.parent if snapshots is not None and (snapshots.parent / "blobs").is_dir() else whole


def record_root(data: Path, root: Path) -> None:
    """Write down, beside a file of rows, where the images are that its rows name; `recorded_root` finds it there."""
    write_json(_record(data), {"images": str(root.resolve())})


def recorded_root(data: Path) -> str | None:
    """Say where a file's images are, if whoever wrote it recorded that."""
    try:
        root = json.loads(_record(data).read_text(encoding="utf-8"))["images"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return root if isinstance(root, str) else None


def _record(data: Path) -> Path:
    return data.with_name(f"{data.name}.images.json")
