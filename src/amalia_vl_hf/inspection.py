"""What an image or a video costs: its tiles or frames, visual tokens, the memory they take; and a drawing of them.

`inspect_images` is the command `amalia-vl inspect`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps
from transformers import LlamaConfig

from .memory import BFLOAT16, cache_numbers, prefill_numbers
from .modeling.configuration_amalia_vl import AMALIA_9B
from .processing.image_processing_amalia_vl import AmaliaVLImageProcessor
from .processing.processing_amalia_vl import AmaliaVLProcessor
from .processing.tiling_amalia_vl import TileLayout, place_on_canvas
from .processing.video_loading_amalia_vl import SampledFrames, VideoReader
from .processing.video_processing_amalia_vl import AmaliaVLVideoProcessor

# AMALIA-VL: AMALIA-9B's decoder (Llama's kind), a SigLIP2-SO400M tower and a connector; bfloat16 throughout.
PARAMETERS = 9.6e9
CONTEXT = 16_384  # tokens, text included; AMALIA-VL paper, Table 2, stage 2

PAPER, INK, SHADE, CUT = (250, 249, 246), (40, 40, 44), (24, 24, 27), (120, 113, 108)
LONGEST_SIDE, LARGEST_TILE, GAP, CAPTION_WIDTH = 1500, 320, 12, 560  # px, of a drawing
FRAME_SIDE, FRAME_COLS = 160, 8  # px of a drawn frame's longer side; frames in a row


@dataclass(frozen=True)
class ImageReport:
    """Costs of one image.

    Attributes:
        name: What the image is called in the report.
        height: Height of the upright image, in pixels.
        width: Width of the upright image, in pixels.
        tile_size: Side of a tile, in pixels.
        side: Patches on a side of a tile.
        layout: How the image is tiled.
        visual_tokens: Positions it takes in the decoder.
    """

    name: str
    height: int
    width: int
    tile_size: int
    side: int
    layout: TileLayout
    visual_tokens: int

    @property
    def pixel_bytes(self) -> int:
        """Size of the image's `pixel_values`, in float32."""
        return self.layout.num_tiles * 3 * self.tile_size**2 * 4

    def __str__(self) -> str:
        rows, cols, pad_rows, pad_cols = self.layout
        thumbnail = self.side**2
        grid = f"none, only the {self.tile_size} px thumbnail"
        tokens = f"{self.visual_tokens} = {thumbnail} + 1 newline"
        if rows:
            kept_rows, kept_cols = rows * self.side - 2 * pad_rows, cols * self.side - 2 * pad_cols
            grid = f"{rows} x {cols} tiles of {self.tile_size} px, and the thumbnail: {self.layout.num_tiles} in all"
            tokens = f"{self.visual_tokens} = {thumbnail} (thumbnail) + {kept_rows} rows x ({kept_cols} + 1 newline)"
        padding = "none"
        if pad_rows:
            padding = f"{pad_rows} rows of patches cut above, {pad_rows} below"
        if pad_cols:
            padding = f"{pad_cols} columns of patches cut at the left, {pad_cols} at the right"
        lines = (
            f"{self.name}: {self.height} px high, {self.width} px wide",
            f"  grid           {grid}",
            f"  padding        {padding}",
            f"  visual tokens  {tokens}",
            f"  pixel_values   {self.pixel_bytes / 1e6:.1f} MB in float32",
        )
        return "\n".join(lines)


def inspect_image(image: Any, image_processor: AmaliaVLImageProcessor, max_tiles: int | None = None) -> ImageReport:
    """Work out what one image costs.

    Args:
        image: Anything the image processor reads.
        image_processor: Says how images are tiled.
        max_tiles: Most tiles, if not the processor's own.

    Raises:
        ValueError: If the image cannot be used.
    """
    picture = image_processor.fetch_images(image)
    tile_size = image_processor.size["height"]
    return ImageReport(
        name=str(image) if isinstance(image, str | Path) else "image",
        height=picture.height,
        width=picture.width,
        tile_size=tile_size,
        side=tile_size // image_processor.patch_size,
        layout=image_processor.tile_layout(picture.height, picture.width, max_tiles=max_tiles),
        visual_tokens=image_processor.num_visual_tokens(picture.height, picture.width, max_tiles=max_tiles),
    )


@dataclass(frozen=True)
class VideoReport:
    """Costs of one video.

    Attributes:
        name: What the video is called in the report.
        taken: The frames that the model sees.
        height: Height of a frame, in pixels.
        width: Width of a frame, in pixels.
        tile_size: Side of a frame as the model sees it, in pixels.
        visual_tokens: Positions the video takes in the decoder.
    """

    name: str
    taken: SampledFrames
    height: int
    width: int
    tile_size: int
    visual_tokens: int

    @property
    def pixel_bytes(self) -> int:
        """Size of the video's `pixel_values_videos`, in float32."""
        return len(self.taken.positions) * 3 * self.tile_size**2 * 4

    def __str__(self) -> str:
        positions, seconds, frames = self.taken.positions, self.taken.seconds, len(self.taken.positions)
        length = f", {self.taken.length:.2f} s" if self.taken.length is not None else ""
        times = [f"{place} ({seconds[at]:.2f} s)" if seconds else f"{place}" for at, place in enumerate(positions)]
        lines = (
            f"{self.name}: {self.taken.total} frames{length}, {self.height} px high, {self.width} px wide",
            f"  frames taken   {frames}: {', '.join(times)}",
            f"  visual tokens  {self.visual_tokens} = {frames} x {(self.visual_tokens - 1) // frames} + 1 newline",
            f"  pixel_values   {self.pixel_bytes / 1e6:.1f} MB in float32, {self.tile_size} px a frame",
        )
        return "\n".join(lines)


def inspect_video(video: Any, processor: AmaliaVLVideoProcessor) -> tuple[VideoReport, list[Image.Image]]:
    """Work out what one video costs.

    Args:
        video: Anything the video processor reads.
        processor: Says which frames are taken.

    Returns:
        The report, and the frames, small.

    Raises:
        ValueError: If the video cannot be used.
    """
    reader = VideoReader(video, 0)
    taken = reader.sampled(processor.sampling)
    frames, size = [], (0, 0)
    for frame in reader.frames(taken.positions):
        frames.append(ImageOps.contain(Image.fromarray(frame), (FRAME_SIDE, FRAME_SIDE)))  # what is drawn
        size = frame.shape[:2]
    return (
        VideoReport(
            name=str(video) if isinstance(video, str | Path) else "video",
            taken=taken,
            height=size[0],
            width=size[1],
            tile_size=processor.image_processor.size["height"],
            visual_tokens=processor.num_visual_tokens(len(frames)),
        ),
        frames,
    )


def memory_estimate(visual_tokens: int) -> dict[str, float]:
    """Estimate what AMALIA-VL's 9.6 billion parameters and these tokens take on a device, in bytes.

    `weights` in bfloat16; `cache`, the keys and values of the visual tokens; `activations`, the widest point of their
    prefill with a memory-efficient attention. Text and a framework's own buffers come on top.

    Examples:
        >>> {name: f"{size / 1e9:.1f} GB" for name, size in memory_estimate(7776).items()}
        {'weights': '19.2 GB', 'cache': '1.3 GB', 'activations': '0.7 GB'}
    """
    text = LlamaConfig(**AMALIA_9B)
    return {
        "weights": PARAMETERS * BFLOAT16,
        "cache": float(visual_tokens * cache_numbers(text) * BFLOAT16),
        "activations": float(visual_tokens * prefill_numbers(text) * BFLOAT16),
    }


def inspect_images(
    images: Sequence[str],
    out: str | None = None,
    max_tiles: int | None = None,
    model: str | None = None,
    clips: Sequence[str] = (),
) -> str:
    """Report on files of images and videos, and draw their tiles or frames where `out` says so.

    Args:
        images: The files.
        out: Where to write the drawing; with several images the name is numbered, one file each.
        max_tiles: Most tiles of an image, if not the model's own.
        model: Directory or Hub id whose tiling to use; AMALIA-VL's if unset.
        clips: Those of the files that are videos.

    Returns:
        The report, as text for people.

    Raises:
        ValueError: If an image or a video cannot be used.
    """
    image_processor = (
        AmaliaVLImageProcessor.from_pretrained(model, trust_remote_code=False) if model else AmaliaVLImageProcessor()
    )
    videos = AmaliaVLVideoProcessor(image_processor)
    if clips and model:
        videos = AmaliaVLProcessor.from_pretrained(model, trust_remote_code=False).videos
    reports: list[ImageReport | VideoReport] = []
    drawings = []
    for number, image in enumerate(images, start=1):
        report, frames = inspect_video(image, videos) if image in clips else (None, [])
        reports.append(report or inspect_image(image, image_processor, max_tiles))
        if out:
            path = Path(out) if len(images) == 1 else Path(out).with_stem(f"{Path(out).stem}-{number}")
            drawing = draw_frames(report, frames) if report else draw_tiles(image, image_processor, max_tiles)
            drawing.save(path)
            drawings.append(f"{'Frames' if report else 'Tiles'} of {image} drawn in {path}")
    total = _total(sum(report.visual_tokens for report in reports), len(reports), "video" if clips else "image")
    return "\n\n".join([*map(str, reports), total, *drawings])


def draw_frames(report: VideoReport, frames: Sequence[Image.Image]) -> Image.Image:
    """Draw the frames that are taken of a video, with their numbers and times, in the order of `pixel_values_videos`.

    Args:
        report: What is known of the video.
        frames: Its frames, small.
    """
    cols = min(FRAME_COLS, len(frames))
    wide, tall = FRAME_SIDE + GAP, max(frame.height for frame in frames) + 2 * GAP
    rows = -(-len(frames) // cols)
    sheet = Image.new("RGB", (max(cols * wide + GAP, CAPTION_WIDTH), rows * tall + 4 * GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for number, (frame, place) in enumerate(zip(frames, report.taken.positions, strict=True)):
        row, col = divmod(number, cols)
        sheet.paste(frame, (GAP + col * wide, GAP + row * tall))
        time = f", {report.taken.seconds[number]:.2f} s" if report.taken.seconds else ""
        draw.text((GAP + col * wide, GAP // 2 + (row + 1) * tall), f"{place}{time}", INK, font, anchor="ls")
    caption = f"{len(frames)} of {report.taken.total} frames: {report.visual_tokens} visual tokens"
    draw.text((GAP, sheet.height - GAP), caption, INK, ImageFont.load_default(16), anchor="ls")
    return sheet


def _total(visual_tokens: int, count: int, kind: str = "image") -> str:
    """Sum up one prompt that holds all of them."""
    sizes = memory_estimate(visual_tokens)
    parts = " + ".join(f"{size / 1e9:.1f} GB {name}" for name, size in sizes.items())
    share = 100 * visual_tokens / CONTEXT
    too_many = "; they do not fit: lower --max-tiles" if visual_tokens > CONTEXT else ""
    return (
        f"{f'This {kind}' if count == 1 else f'These {count} {kind}s'} in one prompt of AMALIA-VL (9.6 B, bfloat16)\n"
        f"  context        {visual_tokens} visual tokens, {share:.0f} % of {CONTEXT}{too_many}\n"
        f"  memory         {parts} = {sum(sizes.values()) / 1e9:.1f} GB, before text"
    )


def describe_tiles(report: ImageReport) -> str:
    """Say in one line what a drawing of tiles shows."""
    rows, cols = report.layout.grid
    tiles = f"thumbnail (0) and {rows} x {cols} tiles" if rows else "thumbnail (0), no tiles"
    hatched = "; hatched: padding that is cut" if report.layout.pad_rows or report.layout.pad_cols else ""
    return f"{tiles}: {report.visual_tokens} visual tokens{hatched}"


def draw_tiles(
    image: Any,
    image_processor: AmaliaVLImageProcessor,
    max_tiles: int | None = None,
    caption: Callable[[ImageReport], str] = describe_tiles,
) -> Image.Image:
    """Draw an image as the model sees it: thumbnail and tiles apart, numbered in the order of `pixel_values`.

    Padding is black; what of it the model cuts before the decoder is hatched.

    Args:
        image: Anything the image processor reads.
        image_processor: Says how images are tiled.
        max_tiles: Most tiles, if not the processor's own.
        caption: Words the line below the drawing.

    Raises:
        ValueError: If the image cannot be used.
    """
    picture = image_processor.fetch_images(image)
    report = inspect_image(picture, image_processor, max_tiles)
    rows, cols = report.layout.grid
    side = min(LARGEST_TILE, LONGEST_SIDE // max(rows, cols + 1))  # px, of a drawn tile
    step = side + GAP
    sheet = Image.new("RGB", (max((1 + cols) * step + 3 * GAP, CAPTION_WIDTH), max(rows, 1) * step + 3 * GAP), PAPER)
    _place(sheet, picture.resize((side, side), Image.Resampling.LANCZOS), (GAP, GAP), number=0)
    canvas = _canvas(picture, report).resize((max(cols, 1) * side, max(rows, 1) * side), Image.Resampling.LANCZOS)
    _hatch_cut(canvas, report)
    for index in range(rows * cols):
        row, col = divmod(index, cols)
        tile = canvas.crop((col * side, row * side, (col + 1) * side, (row + 1) * side))
        _place(sheet, tile, (3 * GAP + (1 + col) * step, GAP + row * step), number=index + 1)
    below = (GAP, sheet.height - 1.2 * GAP)
    ImageDraw.Draw(sheet).text(below, caption(report), INK, ImageFont.load_default(16), anchor="ls")
    return sheet


def _canvas(picture: Image.Image, report: ImageReport) -> Image.Image:
    """Fit the picture on its canvas of tiles, with black bars."""
    size, grid = report.tile_size, report.layout.grid
    canvas = Image.new("RGB", (max(grid.cols, 1) * size, max(grid.rows, 1) * size))
    if grid.rows:
        top, left, height, width = place_on_canvas(picture.height, picture.width, grid, size)
        canvas.paste(picture.resize((width, height), Image.Resampling.BICUBIC), (left, top))
    return canvas


def _hatch_cut(canvas: Image.Image, report: ImageReport) -> None:
    """Hatch the bars whose features the model cuts, whole patches of them."""
    _, cols, pad_rows, pad_cols = report.layout
    patch = canvas.width / (max(cols, 1) * report.side)  # px, of a drawn patch
    top, left = round(pad_rows * patch), round(pad_cols * patch)
    if not (top or left):
        return
    hatch = Image.new("RGB", canvas.size, SHADE)
    draw = ImageDraw.Draw(hatch)
    for start in range(-canvas.height, canvas.width, 12):
        draw.line((start, canvas.height, start + canvas.height, 0), CUT, 2)
    cut = Image.new("L", canvas.size, 255)
    ImageDraw.Draw(cut).rectangle((left, top, canvas.width - left - 1, canvas.height - top - 1), 0)
    canvas.paste(hatch, mask=cut)


def _place(sheet: Image.Image, tile: Image.Image, corner: tuple[int, int], number: int) -> None:
    """Paste a tile with its number on a badge."""
    sheet.paste(tile, corner)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    x, y = corner
    draw.rectangle((x, y, x + tile.width - 1, y + tile.height - 1), outline=INK)
    draw.rounded_rectangle((x + 6, y + 6, x + 40, y + 32), 6, fill=PAPER, outline=INK)
    draw.text((x + 23, y + 19), str(number), INK, font, anchor="mm")
