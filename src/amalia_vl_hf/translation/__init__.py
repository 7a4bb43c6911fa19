"""Translation: masks what must not change, checks what came back, measures it, and says what a second model mends.

Nothing here asks a model: `messages` says what to ask, `masks` and `units` what is sent, `structure` and `quality`
what is wrong with an answer. Datasets (`data`) and benchmarks (`evaluation`) do the asking.
"""
