#!/usr/bin/python3
"""A disk that can fail: a loop device over a file. It fails as a disk that is gone does: the device ends before the
unit (its size limit is lowered under whoever uses it), so every read, write and the metadata behind them fail.

  loop_disk.py DEVICE fail|repair"""
import fcntl
import struct
import subprocess
import sys

LOOP_SET_STATUS64, LOOP_GET_STATUS64 = 0x4C04, 0x4C05
INFO, SIZE_LIMIT = "=5Q4I64s64s32s2Q", 4  # struct loop_info64; its lo_sizelimit
LEFT = 4096  # bytes, of a disk that failed


class LoopDisk:
    def __init__(self, device):
        self.device = device

    @classmethod
    def make(cls, backing, size):
        """None where there are no loop devices (the reason is printed)."""
        with open(backing, "wb") as f:
            f.truncate(size)
        done = subprocess.run(["losetup", "--find", "--show", backing], capture_output=True, text=True)
        if done.returncode:
            print("no loop device: " + done.stderr.strip())
            return None
        return cls(done.stdout.strip())

    def limit(self, size):
        with open(self.device, "rb") as f:
            info = bytearray(struct.calcsize(INFO))
            fcntl.ioctl(f, LOOP_GET_STATUS64, info)
            fields = list(struct.unpack(INFO, info))
            fields[SIZE_LIMIT] = size
            fcntl.ioctl(f, LOOP_SET_STATUS64, struct.pack(INFO, *fields))

    def fail(self):
        self.limit(LEFT)

    def repair(self):
        self.limit(0)

    def remove(self):
        subprocess.run(["losetup", "-d", self.device], check=False)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[2] not in ("fail", "repair"):
        sys.exit(__doc__)
    getattr(LoopDisk(sys.argv[1]), sys.argv[2])()
