"""Tests; the folders mirror `src/amalia_vl_hf`."""
