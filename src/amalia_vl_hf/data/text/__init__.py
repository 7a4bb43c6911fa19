"""Texts to read: PT-OCR and PT-Render-Text, their words, their pictures, and how pictures wear."""
