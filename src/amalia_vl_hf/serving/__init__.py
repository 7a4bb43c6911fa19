"""From a directory to an answer over HTTP: `server` and `vllm_plugin` serve, `client` asks, `page` is for people.

`messages` reads what clients of the OpenAI protocol send; `boxes` draws what an answer points at.
"""
