"""`ocrfarm up`: a whole farm on this machine, under one supervisor."""


class CannotStart(Exception):
    """The farm cannot be started here; the message says why and what to do."""


class StateHeld(CannotStart):
    """Another farm runs in the state folder."""
