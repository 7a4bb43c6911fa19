"""What turns images and text into the model's inputs: tiles, their layouts and token ids.

The files here are copied flat into Hub repositories, so they import only their siblings.
"""
