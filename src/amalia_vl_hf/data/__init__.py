"""Construction of datasets: what a dataset is (`dataset`, `rows`), and what all of them share.

`languages`, `answer_formats`, `choices`, `prompts` and `typefaces` are shared; `building` makes the files of any of
them; `text`, `code`, `charts` and `invoices` are families, each with its pictures, words, prompts and datasets.
"""
