"""What the commands of ``shmlab`` do: one module a command, each with ``run(options) -> exit status``.

``terminal`` holds what they share in printing. The parser is in :mod:`shmlab.__main__`, the only importer.
"""
