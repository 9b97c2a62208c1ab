"""The pictures of README: real commands on a scratch repository, on a terminal, as SVG (`python -m docs.captures`)."""
