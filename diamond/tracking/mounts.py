"""Which kind of file system holds a path, as the system's list of mounts says."""

import re
from pathlib import Path

_MOUNTS = Path("/proc/mounts")
_ESCAPE = re.compile(r"\\([0-7]{3})")
_NETWORK = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p"),
        *("lustre", "gpfs", "beegfs", "ceph", "glusterfs", "gfs2", "ocfs2", "orangefs", "pvfs2"),
        *("panfs", "wekafs", "daos", "fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse"),
        *("fuse.sshfs", "fuse.juicefs", "fuse.s3fs", "fuse.gcsfuse", "fuse.mount-s3"),
        *("fuse.blobfuse", "fuse.blobfuse2", "fuse.rclone", "fuse.dfuse", "fuse.davfs", "davfs"),
    }
)


def file_system(path: Path, mounts: str | None = None) -> str | None:
    """Return the type of the file system that holds a path, which need not exist yet.

    Args:
        path: Where something is or will be.
        mounts: Text in the form of ``/proc/mounts``; by default that of this system.

    Returns:
        A type such as ``ext4``; None where the system has no such list.

    Source: proc_mounts(5) and fstab(5); spaces in names are octal escapes.
    """
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    resolved = path.resolve()
    found, longest = None, -1
    for line in mounts.splitlines():
        _, point, kind, *_ = line.split(" ")
        point = _ESCAPE.sub(lambda octal: chr(int(octal[1], 8)), point)
        # Of two on the same point, the later one covers the earlier one.
        if resolved.is_relative_to(point) and len(point) >= longest:
            found, longest = kind, len(point)
    return found


def network_file_system(path: Path, mounts: str | None = None) -> str | None:
    """Return the type of the network file system that holds a path, None for any other.

    Args:
        path: Where something is or will be.
        mounts: Text in the form of ``/proc/mounts``; by default that of this system.
    """
    kind = file_system(path, mounts)
    return kind if kind in _NETWORK else None
