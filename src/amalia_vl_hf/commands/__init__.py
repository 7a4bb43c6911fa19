"""The `amalia-vl` command, one file a command: arguments in, one call of the package, text out.

`arguments` is how each adds itself to the command line; `failures` says in one line what ended one of them. What is
heavy is imported inside the functions that run, so that `--help` answers at once.
"""
