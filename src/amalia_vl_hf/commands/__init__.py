"""The `amalia-vl` command, one file a command: arguments in, one call of the package, text out."""
