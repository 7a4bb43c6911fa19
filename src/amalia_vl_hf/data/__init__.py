"""Datasets the package builds: one pipeline a file.

The demo's own: `scenes` (pictures), `scene_texts` (what is said about them), `scene_sets` (files on disk).
"""
