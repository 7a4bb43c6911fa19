"""Python programs to draw and to run: SePIC, the code datasets, seeded functions, pictures, outputs and traces."""
