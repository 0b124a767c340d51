"""Runs a program that dies with its supervisor: `python tether.py SUPERVISOR_PID PROGRAM ARGUMENTS...`.

The kernel is asked to kill this process when its parent ends (prctl PR_SET_PDEATHSIG, Linux), then it becomes the program: the same
process id, the same arguments in `ps`. So nothing outlives a supervisor that was killed with SIGKILL. Done here and not in
`Popen(preexec_fn=)`, which may deadlock in a process with threads. The kernel watches the thread that started the child: start
children from the main thread.
"""

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    supervisor, argv = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != supervisor:  # it died before the kernel was asked
            sys.exit(1)
    os.execvp(argv[0], argv)  # noqa: S606 - the supervisor's own argument list, no shell


if __name__ == "__main__":
    main()
