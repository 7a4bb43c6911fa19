"""Training: the paper's three stages on TRL's trainers.

A recipe: `stages` says what a stage trains, `recipe` and `values` read how from YAML, `estimate` says what it takes.
A run: `command` and `launch` start it in one process or several, `world` checks them, `building` makes the trainer of
`trainers`, `run` trains, resumes and publishes, `progress` meters, `report` draws, `faults` explains what ended it.
Data: `samples` reads it through `readers`, `stores` and `manifest`; `mixture`, `checking` and `lengths` prepare it,
`bad_samples` replaces what is broken, `collation` makes batches. Speed: `segments`, `packing`, `row_plan`, `balance`
for conversations, `shared_prompt`, `reference_log_probs` for preferences.
"""
