"""Invoices of InvoiceQA: set by typst or read from FATURA, questions about them, and a model's wording."""
