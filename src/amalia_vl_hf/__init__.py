"""AMALIA-VL for Hugging Face Transformers."""
