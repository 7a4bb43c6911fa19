"""A small FATURA for tests: black bars where fields stand, a pixel inside their boxes, and its annotations."""

import json
import random

from PIL import Image, ImageDraw

HEIGHT, WIDTH = 842, 595  # A4 at 72 dots an inch, as in the release
# Label: printed text, and its bar (left, top, right, bottom) in pixels from the top left.
FIELDS = {
    "TITLE": ("TAX INVOICE", (40, 30, 160, 50)),
    "NUMBER": ("Invoice number INV/72-97/395", (40, 60, 200, 75)),
    "DATE": ("Date: 20-Mar-2008", (40, 80, 150, 95)),
    "DUE_DATE": ("Due Date : 16-Oct-2016", (40, 100, 170, 115)),
    "SELLER_NAME": ("Kelly-Moss", (400, 30, 500, 45)),
    "SELLER_ADDRESS": ("Address:6030 Willie Shores Suite 354\nGuerraton, TX 60058 US", (400, 60, 580, 90)),
    "BUYER": (
        "Bill to:Denise Perez\n16424 Timothy Mission\nMarkville, AK 58294 US\nTel:+(833)841-9035",
        (40, 150, 220, 220),
    ),
    "SUB_TOTAL": ("SUB_TOTAL : 725.30 EUR", (400, 600, 560, 615)),
    "DISCOUNT": ("DISCOUNT(1.85%): (-) 13.42", (400, 620, 580, 635)),
    "TAX": ("TAX:VAT (3.88%): 28.18 EUR", (400, 640, 580, 655)),
    "TOTAL": ("TOTAL : 734.33 EUR", (400, 660, 530, 675)),
}


def annotate(fields=FIELDS):
    """Count y from the bottom, as the release does; the first corner is the upper left one."""
    entries = {
        label: {"text": text, "bbox": [[left, HEIGHT - top], [right, HEIGHT - bottom]]}
        for label, (text, (left, top, right, bottom)) in fields.items()
    }
    return {"TABLE": [[{"bbox": [[40, 500], [560, 300]]}]], "OTHER": {"text": "the page's OCR"}, **entries}


def draw_page(fields=FIELDS):
    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    for _, (left, top, right, bottom) in fields.values():
        ImageDraw.Draw(page).rectangle((left + 1, top + 1, right - 2, bottom - 2), fill="black")
    return page


def write_page(root, name, annotation, page=None):
    for folder in ("images", "Annotations/Original_Format"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "Annotations/Original_Format" / f"{name}.json").write_text(json.dumps(annotation))
    (page or draw_page()).save(root / "images" / f"{name}.jpg", quality=95)
    return root


def write_folder(root, pages=3):
    """Write pages that differ in their totals."""
    for number in range(pages):
        amount = f"TOTAL : {random.Random(number).randint(1_000, 99_999) / 100:.2f} EUR"
        fields = {**FIELDS, "TOTAL": (amount, FIELDS["TOTAL"][1])}
        write_page(root, f"Template{number}_Instance0", annotate(fields))
    return root
