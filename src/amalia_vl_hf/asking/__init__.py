"""Models behind OpenAI-compatible servers: `endpoint` is asked once, `inference` asks many times and goes on.

`roles` says who is asked and how, `pictures` what is sent, `replies` reads what comes back, `journal` keeps it.
"""
