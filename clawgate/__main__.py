"""`python -m clawgate` is `clawgate`."""

from clawgate.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
