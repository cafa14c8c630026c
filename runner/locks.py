"""Hold a file for as long as this process lives, so that others can tell whether it does."""

import sys

__all__ = ["hold"]

if sys.platform == "win32":
    import msvcrt
    import os

    FAR = 1 << 40
    """Windows lets nobody read what is locked, so a byte is locked that no file has."""

    def hold(descriptor: int) -> bool:
        """Whether an open file is ours from now on, until it is closed or we die; False while somebody else holds it."""
        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, FAR, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(descriptor, place, os.SEEK_SET)
        return True

else:
    import fcntl

    def hold(descriptor: int) -> bool:
        """Whether an open file is ours from now on, until it is closed or we die; False while somebody else holds it."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
