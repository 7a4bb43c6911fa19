"""Preprocessing against stock LLaVA-NeXT's Pillow processor: CPU time on one thread, bytes of `pixel_values`.

Pictures are decoded beforehand and lie in memory as arrays (NumPy's) or as Pillow images, but for the rows of JPEG
bytes (quality 90), which Pillow decodes for stock, and simplejpeg, if it is installed, for ours. The contestants take
turns in a drawn order, and each figure is what the fastest quarter of its turns stays below: other work makes turns
slower, and none faster. `pil` gives stock's pixels bit by bit, which is checked; `torch` is within 2 grey levels, and
`uint8` leaves its values to the model to normalise.
"""

import json
import statistics
import time
from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlavaNextProcessor, PreTrainedTokenizerFast
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from amalia_vl_hf import AmaliaVLImageProcessor, AmaliaVLProcessor
from amalia_vl_hf.processing.tiling_amalia_vl import generate_pinpoints

TILE, MAX_TILES, PATCH = 384, 12, 16
SIZES = {"640x480": (480, 640), "1920x1080": (1080, 1920), "4032x3024": (3024, 4032)}  # height, width
TURNS = 11


def stock_processor() -> LlavaNextImageProcessorPil:
    """LLaVA-NeXT's processor with SigLIP's values and AMALIA-VL's tiling."""
    side = {"height": TILE, "width": TILE}
    pinpoints = [list(pinpoint) for pinpoint in generate_pinpoints(MAX_TILES, TILE)]
    half = [0.5, 0.5, 0.5]
    return LlavaNextImageProcessorPil(
        size=side, crop_size=side, image_grid_pinpoints=pinpoints, image_mean=half, image_std=half
    )


def photograph(height: int, width: int) -> Image.Image:
    """Soft shapes with some grain."""
    generator = np.random.default_rng(0)
    shapes = Image.fromarray(generator.integers(0, 256, (13, 17, 3), np.uint8)).resize((width, height))
    grain = generator.integers(-12, 13, (height, width, 1))
    return Image.fromarray((np.asarray(shapes) + grain).clip(0, 255).astype(np.uint8))


def tokenizer() -> PreTrainedTokenizerFast:
    """Three words are enough to fill in image tokens."""
    words = Tokenizer(models.WordLevel({"?": 0, "<image>": 1, "olá": 2}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.add_special_tokens(["<image>"])
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?", pad_token="?")


def race(contestants: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of each that a quarter of its turns stay below, taking turns after a turn to warm up.

    Who follows whom changes: a contestant finds the memory that the one before has given back, or has not.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    generator = np.random.default_rng(0)
    for _ in range(TURNS + 1):
        for name in generator.permutation(list(contestants)).tolist():
            start = time.process_time()
            contestants[name]()
            times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.quantiles(turns[1:], n=4)[0] for name, turns in times.items()}


def compare(name: str, ours: float, stock: float, unit: str) -> dict[str, dict[str, float | str]]:
    """Print a row; `ratio` says how many times less ours takes."""
    print(f"{name:<34}{ours:>12.1f}{stock:>12.1f}{stock / ours:>9.2f}  {unit}")
    return {name: {"ours": round(ours, 2), "stock": round(stock, 2), "ratio": round(stock / ours, 2), "unit": unit}}


def main() -> None:
    """Print a row for each comparison, then all of them as JSON."""
    torch.set_num_threads(1)
    stock = stock_processor()
    ours = {name: AmaliaVLImageProcessor(resampler=name) for name in ("pil", "torch")}
    words = tokenizer()
    stock_whole = LlavaNextProcessor(stock, words, patch_size=PATCH, vision_feature_select_strategy="full")
    ours_whole = AmaliaVLProcessor(ours["torch"], words)
    results = {}
    print(f"{'':<34}{'ours':>12}{'stock':>12}{'stock/ours':>12}")
    for name, size in SIZES.items():
        picture = photograph(*size)
        assert torch.equal(
            ours["pil"](picture)["pixel_values"], stock(picture, return_tensors="pt")["pixel_values"][0]
        )
        array = np.array(picture)
        prompt = {"images": picture, "text": "<image> olá", "return_tensors": "pt"}
        encoded = BytesIO()
        picture.save(encoded, "JPEG", quality=90)
        times = race(
            {
                "uint8": lambda picture=picture: ours["torch"](picture, pixels="uint8"),
                "stock array": lambda array=array: stock(array, return_tensors="pt"),
                "torch array": lambda array=array: ours["torch"](array),
                "uint8 array": lambda array=array: ours["torch"](array, pixels="uint8"),
                "stock JPEG": lambda file=encoded: stock(Image.open(file).convert("RGB"), return_tensors="pt"),
                "torch JPEG": lambda file=encoded: ours["torch"](file.getvalue()),
                "uint8 JPEG": lambda file=encoded: ours["torch"](file.getvalue(), pixels="uint8"),
                "stock": lambda picture=picture: stock(picture, return_tensors="pt"),
                "pil": lambda picture=picture: ours["pil"](picture),
                "torch": lambda picture=picture: ours["torch"](picture),
                "stock with text": lambda prompt=prompt: stock_whole(**prompt),
                "torch with text": lambda prompt=prompt: ours_whole(**prompt),
            }
        )
        for way in ("torch", "uint8"):
            results |= compare(f"{way} {name}, array", times[f"{way} array"], times["stock array"], "ms")
        for way in ("torch", "uint8", "pil"):
            results |= compare(f"{way} {name}, Pillow image", times[way], times["stock"], "ms")
        for way in ("torch", "uint8"):
            results |= compare(f"{way} {name}, JPEG bytes", times[f"{way} JPEG"], times["stock JPEG"], "ms")
        results |= compare(f"processor, torch {name}", times["torch with text"], times["stock with text"], "ms")
    batch = [photograph(300, 200), photograph(1152, 1536)]
    sizes = [processor(batch, return_tensors="pt")["pixel_values"].nbytes / 1e6 for processor in (ours["pil"], stock)]
    results |= compare("pixel_values, 200x300 + 12 tiles", *sizes, "MB")
    print(json.dumps(results))


if __name__ == "__main__":
    main()
