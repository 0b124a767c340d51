"""Opening strangers' files in a process of its own.

Decoders are millions of lines of C that read what anybody sends. So no worker process decodes: it hands the open file to a child
(`child.py`) that has no credentials, no files, no network and little memory (`locks.py`), and gets pixels back in memory that both see.
`process.py` is the worker's end of one child: it starts it, watches it, and turns its death into an error of the page. `parent.py` asks:
which document goes to which child. `wire.py` is what they say to each other.
"""
