"""Preference pairs of stage 3: candidates, a judge or a reward model, and the best against the worst (section 5.2).

`rules`, `candidates` and `selection` are pure; `prompts` draws what is asked from stage 2's mixture;
`preferences` is the paper's dataset, `preferences_original` and `preferences_contrast` are AMALIA's text recipes, and
`preferences_mpo` takes InternVL's pairs by the licences of their sources.
"""
