"""What a sample is, wherever it comes from: read in the sources' own formats, checked, measured, mixed.

`formats` reads records, `sources` opens files, `loading` gives what a trainer reads; `manifest` and `mixture` draw,
`checking` and `lengths` look before training does, `fetch` gets images ahead of it, `files` lists what lies behind.
"""
