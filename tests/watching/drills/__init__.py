"""Live drills: the event of each alert, caused on a real farm that a real Prometheus watches, until that alert fires.

`python -m tests.watching.drills` runs all of them, in some ten minutes, and writes docs/alert-drills.md.
"""
