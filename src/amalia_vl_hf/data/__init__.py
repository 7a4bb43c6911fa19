"""Datasets the package builds: one pipeline a file.

`command` is `amalia-vl data`. Datasets drawn here: `build` runs `render_text`, `pt_ocr` and `invoice_qa`.
Images of public datasets: `fetch`, by `download`. Model-written code: `sandbox`. Portuguese, whose: `variety`.
The demo's own: `scenes` (pictures), `scene_texts` (what is said about them), `scene_sets` (files on disk).
"""
