"""Asking a language model behind an OpenAI-compatible server: prompts, the client, and a build's steps."""
