"""Datasets translated from another language: `translation` has the steps, `originals` the rows, `measures` quality."""
