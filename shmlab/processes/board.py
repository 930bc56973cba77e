"""The board: where every process of a session writes what it is doing, and the lab reads it.

One shared memory object a session, one slot of 4096 bytes a process. A slot has one writer for each field:
the process owns everything but ``command`` and ``interval``, which the lab writes. Text that spans several
bytes is published under a sequence number (odd while it is being written), so a reader never believes half
an update. It stands at its gate when it says PAUSED *and* has heard every order that was sent, so nobody is
deceived who looks between an order and its effect. Behind the slots the object goes on with the ledger of
the session's processes (``ledger``), which isn't mapped. The layout is written once more, in C, in
``programs/step.h``; a test compares the two.

Imported by the worker, which must start in milliseconds: the standard library's ``struct`` and nothing else.
"""

from struct import Struct

SLOTS = 64
SLOT_SIZE = 4096
SIZE = SLOTS * SLOT_SIZE

MAGIC = 0x424D4853
"""``SHMB``, written last when a slot is handed out, so that a stray attach is noticed."""

# What the process says of itself.
EMPTY, PAUSED, RUNNING, RAISED = 0, 1, 2, 3
# What the lab asks of it.
GATED, FREE = 0, 1

# Offsets within a slot, in bytes. Every number is little-endian and aligned to its own size.
AT_MAGIC = 0  # u32
AT_PID = 4  # u32
AT_STATE = 8  # u32
AT_COMMAND = 12  # u32, written by the lab
AT_STEP = 16  # u64: yields so far
AT_HEARD = 24  # u64: orders it has taken from the gate pipe; RUNNING is stored before this goes up
AT_INTERVAL = 32  # u64: nanoseconds between two steps when FREE, 0 for full speed; written by the lab
AT_SEQUENCE = 40  # u32
AT_LINE = 44  # u32
AT_LABEL = 48  # u32 length, then text
LABEL_ROOM = 76
AT_LOCALS = 128  # u32 length, then "name\tvalue\n" for each local variable
LOCALS_ROOM = 1916
AT_ERROR = 2048  # u32 length, then the exception's last line, "\n", its traceback
ERROR_ROOM = 2044

U32 = Struct("<I")
U64 = Struct("<Q")


class Slot:
    """One process's part of the board, seen through *view*: a writable memoryview of SLOT_SIZE bytes."""

    __slots__ = ("_u32", "_u64", "view")

    def __init__(self, view: memoryview) -> None:
        self.view = view
        # Native items, not Struct: an aligned store of 4 or 8 bytes is never torn (FACTS F62, F63).
        self._u32 = view.cast("I")
        self._u64 = view.cast("Q")

    def get(self, offset: int) -> int:
        """Return the 32-bit number at *offset*."""
        return self._u32[offset >> 2]

    def put(self, offset: int, value: int) -> None:
        """Store a 32-bit number at *offset*."""
        self._u32[offset >> 2] = value

    def get64(self, offset: int) -> int:
        """Return the 64-bit number at *offset*."""
        return self._u64[offset >> 3]

    def put64(self, offset: int, value: int) -> None:
        """Store a 64-bit number at *offset*."""
        self._u64[offset >> 3] = value

    def text(self, offset: int, room: int) -> str:
        """Return the text at *offset*, whose length may never be believed beyond *room*."""
        length = min(self.get(offset), room)
        return bytes(self.view[offset + 4 : offset + 4 + length]).decode("utf-8", "replace")

    def put_text(self, offset: int, room: int, text: str) -> None:
        """Store as much of *text* as fits in *room* bytes."""
        # Cut between two characters, not in the middle of one.
        data = text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore").encode()
        self.view[offset + 4 : offset + 4 + len(data)] = data
        self.put(offset, len(data))

    def publish(self, state: int, step: int, line: int, label: str, variables: str) -> None:
        """Say where the process is; the reader sees all of it or none."""
        sequence = self.get(AT_SEQUENCE)
        self.put(AT_SEQUENCE, (sequence | 1) & 0xFFFFFFFF)
        self.put64(AT_STEP, step)
        self.put(AT_LINE, line)
        self.put_text(AT_LABEL, LABEL_ROOM, label)
        self.put_text(AT_LOCALS, LOCALS_ROOM, variables)
        self.put(AT_STATE, state)
        self.put(AT_SEQUENCE, ((sequence | 1) + 1) & 0xFFFFFFFF)

    def clear(self) -> None:
        """Make the slot ready for its next process."""
        self.view[:] = bytes(SLOT_SIZE)
        self.put(AT_MAGIC, MAGIC)

    def snapshot(self) -> "Slot":
        """Return a private copy in which the texts belong together.

        A process that was killed while it published leaves the number odd for ever, so after a few tries
        the copy is returned as it is.
        """
        for _ in range(50):
            before = self.get(AT_SEQUENCE)
            copy = Slot(memoryview(bytearray(self.view)))
            if not before & 1 and self.get(AT_SEQUENCE) == before:
                break
        return copy

    def release(self) -> None:
        """Let go of the memory, so that the board can be unmapped."""
        self._u32.release()
        self._u64.release()
        self.view.release()
