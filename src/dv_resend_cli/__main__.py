"""Where the command starts: installed as `dv-resend`, or as `python -m dv_resend_cli`."""

import sys


def main() -> None:
    """Run the command. It is imported only here, so that Ctrl-C is one line from the start."""
    try:
        from dv_resend_cli.cli import cli

        cli(prog_name="dv-resend")
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: stopped by Ctrl-C.\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
