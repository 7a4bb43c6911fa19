"""Construction of datasets: what a dataset is (`dataset`, `rows`, `steps`), and what all of them share.

Shared are `image_manifest`, `languages`, `answer_formats`, `choices`, `prompts`, `typefaces` and `brazilian`, which
refuses what is no European Portuguese. `building` makes the files of any dataset; `text`, `code`, `charts` and
`invoices` are families that are drawn, each with its pictures, words, prompts and datasets; models write those of
`photos`, `preferences`, `instructions` and `translated`.
"""
