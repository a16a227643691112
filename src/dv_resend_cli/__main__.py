"""`python -m dv_resend_cli`."""

from dv_resend_cli.cli import cli

if __name__ == "__main__":
    cli(prog_name="dv-resend")
