"""The demo's tiny tower, decoder and tokenizer, each warmed up alone."""
