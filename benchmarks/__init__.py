"""How fast it is: one module a question, every figure beside a peer measured in the same run.

``python -m benchmarks`` (``make bench``) prints a table; ``--json`` the same as data, ``--quick`` shows in
seconds that everything still runs, ``--only NAME`` picks one module. Machines are noisy and shared: what
counts is the ratio, from rounds in which ours and the peer take turns, and no test asserts a time. Not part
of the package that is installed: it imports ``shmlab``, and only ``tests/test_benchmarks.py`` runs it.
"""
