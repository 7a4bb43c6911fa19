"""Batches: `collation` makes them, `bad_samples` replaces what is broken.

Speed: `segments`, `packing`, `row_plan`, `node_plan`, `balance` for conversations; `shared_prompt`,
`reference_log_probs` for preferences.
"""
