"""Datasets the package builds: one pipeline a file.

Images of public datasets: `fetch`, by `download`; `command` is `amalia-vl data`.
The demo's own: `scenes` (pictures), `scene_texts` (what is said about them), `scene_sets` (files on disk).
"""
