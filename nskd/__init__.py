"""The daemon: everything that touches a clock, a disk, a socket or a person."""
