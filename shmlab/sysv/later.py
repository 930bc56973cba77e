"""libc, for modules that every worker imports: loaded by the first call that needs it.

ctypes costs a worker 7 ms, and an import statement inside a function costs every call half of its own time.
"""

TYPE_CHECKING = False  # typing's own costs a worker milliseconds
if TYPE_CHECKING:
    from shmlab import libc as libc
else:

    class _Later:
        def __getattr__(self, name: str) -> object:
            from shmlab import libc as loaded

            value = getattr(loaded, name)
            setattr(self, name, value)  # found without this function from now on
            return value

    libc = _Later()
