"""The command `resnas`, and `python -m resnas_deploy`: the handlers of signals first, then everything else."""

from __future__ import annotations

import atexit

from resnas_deploy.processes import ending


def main() -> None:
    """Run the command line and end the process. Nothing else is imported before the handlers are there."""
    code = ending.run_command(_command, whole_process=True)
    ending.leave(code)


def _command() -> int:
    atexit.register(ending.at_the_very_end)  # the first one is called last
    from resnas_deploy.cli.app import run

    return run()


if __name__ == "__main__":
    main()
