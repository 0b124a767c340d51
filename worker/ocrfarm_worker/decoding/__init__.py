"""Opening strangers' files in a process of its own.

Decoders are millions of lines of C that read what anybody sends. So no worker process decodes: it hands the open file to a child
(`child.py`) that has no credentials, no files, no network and little memory (`locks.py`), and gets pixels back in memory that both see.
`parent.py` holds the worker's end: it starts the child, watches it, and turns its death into an error of the page. `wire.py` is what they
say to each other.
"""
