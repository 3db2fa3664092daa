"""Shuts an ext4 file system down without flushing its journal, as a power cut would.

usage: cut_power.py MOUNT. Needs root. Takes effect at once for everything that has files open there.
"""

import fcntl
import os
import struct
import sys

EXT4_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2

mount = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(mount, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
