"""Python programs to draw and to run: seeded ones and the user's, their pictures, outputs and traces."""
