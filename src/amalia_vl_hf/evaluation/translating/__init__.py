"""Translates a benchmark: `rows` finds its texts, `checks` holds rows to the rules, `run` asks, repairs and writes."""
