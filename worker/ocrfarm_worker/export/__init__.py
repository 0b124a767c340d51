"""What is made of a document beside its text: a page as a picture, the searchable PDF. See `make.py`."""
