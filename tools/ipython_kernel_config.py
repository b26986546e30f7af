"""How this project's environment starts its kernels; `make` copies it into .venv."""

c = get_config()  # type: ignore[name-defined]  # noqa: F821  IPython provides it

# A kernel on loopback warns that loopback is not encrypted: once per chapter, to nobody's use.
c.IPKernelApp.log_level = "ERROR"
