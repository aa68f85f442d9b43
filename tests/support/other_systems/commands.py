"""Runs commands of ours in a process that looks like one of another system: `SYSTEM COMMANDS-AS-JSON`.

Text that is read or written by a locale's encoding is an error (PEP 597), and so is a traceback.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings


def main():
    system, commands = sys.argv[1], json.loads(sys.argv[2])
    kept = importlib.import_module(f"support.other_systems.{system}").become()
    warnings.filterwarnings("error", category=EncodingWarning, module=r"resnas_deploy\..*")
    from resnas_deploy.cli import app
    from resnas_deploy.processes import ending
    from resnas_deploy.system import here

    codes = []
    for command in commands:
        sys.argv = ["resnas", *command]
        sys.stdout.write(f"$ {' '.join(sys.argv)}\n")
        codes.append(ending.run_command(app.run))
    sys.stdout.write(json.dumps({"codes": codes, "system": here.NAME, "kept": len(kept)}) + "\n")


if __name__ == "__main__":
    main()
