"""A model on the Hub: the repository's files, its card, and one commit."""
