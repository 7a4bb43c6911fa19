"""Builds a dataset.

`recipe` says what is built, `pipeline` which stages that has and what is made of them, `stages` asks models,
`gathering` sees all shards, `shards` makes rows, `rendered` and `materials` are of drawn datasets; `executors` say
where, `run` goes from begin to end. `estimate` says what it will cost, `cost` what it did; `tally` and `diversity`
count; `card` and `preview` are what people read.
"""
