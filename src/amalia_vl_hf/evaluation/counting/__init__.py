"""Counting: `scoring` of one answer, `totals` of many, `captions` of a corpus; `vqa_words` makes texts comparable."""
