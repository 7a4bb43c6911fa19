"""Instructions without images, Text IF in the paper's Table 1: what a model says of itself, and what personas ask.

`facts` reads what is true of a model; `self_identification` and `persona_instructions` are the datasets.
"""
