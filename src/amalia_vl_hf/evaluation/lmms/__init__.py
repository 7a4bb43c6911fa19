"""lmms-eval: `plugin` names our model to it, `model` answers, `tasks` writes our benchmarks as its YAML files.

Nothing here is imported without lmms-eval but `tasks`, which writes for it and needs it not.
"""
