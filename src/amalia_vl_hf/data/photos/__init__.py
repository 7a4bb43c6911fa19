"""Datasets about photographs that models write: PT-Caps, PT-Caps-Fusion, PT-VQA-Gen, Multi-PixMo (section 5.1).

`concepts`, `embeddings` and `sampling` choose the images; `captions`, `fusion` and `dialogues` are the rules that what
models write is held to, each a pure function; `personas` are who asks.
"""
