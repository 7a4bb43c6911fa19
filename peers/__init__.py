"""transformers' own common tests, run on our classes: `python -m peers`.

The tests come with the sdist of the installed transformers; none of its code is kept here.
"""
