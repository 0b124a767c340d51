"""`python -m ocrfarm` is the `ocrfarm` command."""

from ocrfarm.cli import main

if __name__ == "__main__":
    main()
