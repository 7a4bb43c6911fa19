"""Training: the paper's three stages on TRL's trainers.

A recipe: `stages` says what a stage trains, `recipe` reads how from YAML, `estimate` says what it takes.
A run: `launch` starts it in one process or several, `ranks` checks them, `building` makes the trainer of `trainers`,
`run` trains, resumes and publishes, `origin` says from what, `checkpoints` are whole or left aside, `progress` meters,
`report` draws, `faults` explains.
`batches` holds collation, packing and shared prompts.
"""
