"""A model behind an OpenAI-compatible server: `endpoint` is asked once, `inference` asks many times and goes on."""
