"""Runs the command as ``python -m dts_fsm.cli``."""

from dts_fsm.cli.main import main

if __name__ == "__main__":
    main()
