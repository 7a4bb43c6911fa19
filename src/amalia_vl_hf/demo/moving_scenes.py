"""A few scenes that move: up to three figures of a colour that cross the picture together, as animated GIFs.

Rows ask where they go and how many there are. Train and test clips never share a combination of figure, colour, number
and direction.
"""

import json
import random
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw

from ..disk import new_directory, write_file

SIDE, FRAMES = 64, 8  # px, frames of a clip
SECONDS = 0.125  # that a frame is shown
STEP = 0.72 * SIDE / (FRAMES - 1)  # px from a frame to the next
RADIUS, FIRST, GAP = 8, 9, 19  # px: of a figure, of the first place, between figures
FIGURES = ("ellipse", "rectangle")
COLOURS = ((215, 35, 40), (35, 75, 215), (30, 150, 70))
BACKGROUNDS = ((250, 248, 240), (232, 242, 250))
DIRECTIONS = {"direita": (1, 0), "esquerda": (-1, 0), "baixo": (0, 1), "cima": (0, -1)}
WHERE, HOW_MANY = "Para onde vão as figuras?", "Quantas figuras se movem?"
COUNTS = {1: "Uma.", 2: "Duas.", 3: "Três."}


class MovingScene(NamedTuple):
    """What a clip shows; `shift` moves the figures' lanes, in pixels."""

    figure: str
    colour: tuple[int, int, int]
    background: tuple[int, int, int]
    figures: int
    direction: str
    shift: int

    @property
    def split(self) -> str:
        """One combination of five is held out, by a checksum."""
        combination = repr((self.figure, self.colour, self.figures, self.direction))
        return "test" if zlib.crc32(combination.encode()) % 5 == 0 else "train"


def draw_moving(rng: random.Random, split: str) -> MovingScene:
    """Draw a scene of a split."""
    while True:
        scene = MovingScene(
            rng.choice(FIGURES),
            rng.choice(COLOURS),
            rng.choice(BACKGROUNDS),
            rng.randint(1, len(COUNTS)),
            rng.choice(list(DIRECTIONS)),
            rng.randint(-2, 2),
        )
        if scene.split == split:
            return scene


def render_frames(scene: MovingScene) -> list[Image.Image]:
    """Draw the frames of a clip."""
    return [_frame(scene, number) for number in range(FRAMES)]


def rows_of(scene: MovingScene, clip: str) -> list[dict[str, Any]]:
    """Ask both questions about a clip."""
    way = f"Para {'a ' if scene.direction.endswith('a') and scene.direction != 'cima' else ''}{scene.direction}."
    pairs = ((WHERE, way, "direction"), (HOW_MANY, COUNTS[scene.figures], "count"))
    return [
        {
            "videos": [clip],
            "kind": kind,
            "messages": [
                {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": question}]},
                {"role": "assistant", "content": [{"type": "text", "text": answer}]},
            ],
        }
        for question, answer, kind in pairs
    ]


def write_moving_set(folder: Path, seed: int, clips: int, split: str) -> Path:
    """Write clips and their rows; the folder appears when it is whole.

    Args:
        folder: For `samples.jsonl` and the clips.
        seed: Of the draw.
        clips: How many; each has two rows.
        split: `train` or `test`.

    Returns:
        The file of the rows.
    """
    rng = random.Random(f"{seed} moving {split}")  # noqa: S311
    if not folder.exists():
        with new_directory(folder) as staging:
            rows = []
            for number in range(clips):
                scene, name = draw_moving(rng, split), f"{number:05}.gif"
                first, *others = render_frames(scene)
                first.save(staging / name, save_all=True, append_images=others, duration=1000 * SECONDS, disposal=2)
                rows += rows_of(scene, name)
            write_file(staging / "samples.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return folder / "samples.jsonl"


def _frame(scene: MovingScene, number: int) -> Image.Image:
    picture = Image.new("RGB", (SIDE, SIDE), scene.background)
    pen = ImageDraw.Draw(picture)
    across, down = DIRECTIONS[scene.direction]
    way = FIRST + round(STEP * number)
    along = way if across + down > 0 else SIDE - way
    for lane in range(scene.figures):
        beside = FIRST + 3 + scene.shift + GAP * lane
        x, y = (along, beside) if across else (beside, along)
        box = (x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS)
        (pen.ellipse if scene.figure == "ellipse" else pen.rectangle)(box, fill=scene.colour)
    return picture
