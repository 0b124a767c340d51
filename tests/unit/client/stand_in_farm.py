"""A supervisor over the programs of a JSON file: `python stand_in_farm.py STATE PROGRAMS.json`. Started by test_supervisor.py, because a
supervisor takes the signals of its process's main thread."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from ocrfarm.farm import CannotStart
from ocrfarm.farm.children import Program
from ocrfarm.farm.supervisor import Supervisor, hold_state


def main() -> int:
    state = Path(sys.argv[1])
    rows = json.loads(Path(sys.argv[2]).read_text("utf8"))
    programs = [Program(env=dict(os.environ), **row) for row in rows]
    try:
        with hold_state(state):
            supervisor = Supervisor(programs, state, lambda said: print(said, flush=True))
            with supervisor.signals():
                try:
                    supervisor.run()
                finally:
                    supervisor.stop()
    except CannotStart as err:
        print(err, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
