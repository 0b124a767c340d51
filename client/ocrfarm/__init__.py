"""ocrfarm."""
