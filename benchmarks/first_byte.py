"""The peer of ``launch``: a program that maps an object and stores one byte, as ``python -m`` starts it.

``python -m benchmarks.first_byte NAME AT [numpy]``. It imports the calls it makes and nothing else.
"""

import mmap
import sys

if __name__ == "__main__":
    import posix_ipc

    if sys.argv[3:]:
        __import__(sys.argv[3])
    shared = posix_ipc.SharedMemory(sys.argv[1])
    memory = mmap.mmap(shared.fd, 0)
    shared.close_fd()
    memory[int(sys.argv[2])] = 1
