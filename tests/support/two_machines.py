"""`resnas` on a machine whose processor is called as the first argument says, with the space `mini` and short rounds.

The processor's name is all that is made up: all else is this machine's.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))


def main() -> None:
    name = sys.argv.pop(1)
    from resnas_deploy.measuring.machine import description

    real = description.this_machine
    description.this_machine = lambda *args, **named: replace(real(*args, **named), cpu=name)

    # Only now, since each of these takes that function by its name.
    from support.mini_space import MINI

    from resnas_deploy.cli.app import main as run
    from resnas_deploy.measuring.latency import anchored
    from resnas_deploy.measuring.timing import WarmUp
    from resnas_deploy.weights.space_files import packaged_spaces

    anchored.LEAST_ROUNDS = anchored.MOST_ROUNDS = 3
    anchored.WARM = WarmUp(window=1, tolerance=0.5, most=2)
    packaged_spaces()[MINI.name] = MINI  # type: ignore[index]  # a dict, which is the same for all
    run()


if __name__ == "__main__":
    main()
