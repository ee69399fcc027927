"""A Slurm of one machine on loopback, set up in a folder and taken down again.

``python tests/slurm_cluster.py COMMAND ...`` runs a command inside it.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cluster", "missing"]

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
# No accounting, no cgroups: both ask for more than one machine's root can take for granted.
_CONF = """\
ClusterName=loopback
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=loopback NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """The programs of Slurm and munge that are not installed here."""
    return [name for name in _PROGRAMS if not _program(name)]


@contextlib.contextmanager
def cluster(cores: int | None = None) -> Iterator[dict[str, str]]:
    """Start the controller and one node, and end them with everything that they run.

    Arguments:
        cores: what the node says that it has; by default what is there.

    Yields:
        The environment in which Slurm's commands find it.

    Raises:
        RuntimeError: where a program is missing, or the node is not ready in time.
    """
    if absent := missing():
        raise RuntimeError(f"{', '.join(absent)} are not installed: apt install slurm-wlm munge")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: sockets have a limit of 107 bytes
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    conf = _CONF.format(
        host=socket.gethostname().partition(".")[0],
        controller=_free_port(),
        daemon=_free_port(),
        user=getpass.getuser(),
        folder=folder,
        cores=cores or os.cpu_count(),
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
    )
    (folder / "slurm.conf").write_text(conf)
    # Snakemake's plugin clears Slurm's variables inside a job, so that srun would look in /etc.
    wrapped = folder / "bin" / "srun"
    wrapped.parent.mkdir()
    wrapped.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {_program("srun")} "$@"\n')
    wrapped.chmod(0o755)
    environment = {
        **os.environ,
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": f"{wrapped.parent}:{os.environ['PATH']}",
    }
    munge = ["--foreground", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket"]
    munge += [f"--pid-file={folder}/munged.pid", f"--seed-file={folder}/munged.seed"]
    munge += [f"--log-file={folder}/munged.log"]
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.enter_context(_daemon(folder, environment, "munged", *munge))
        _wait_for((folder / "munge.socket").exists, folder)
        stack.enter_context(_daemon(folder, environment, "slurmctld", "-D"))
        stack.enter_context(_daemon(folder, environment, "slurmd", "-D", "-N", "loopback"))

        def ready() -> bool:
            asked = ["sinfo", "--noheader", "--format=%t"]
            done = subprocess.run(
                asked, env=environment, capture_output=True, text=True, check=False
            )
            return done.stdout.strip() == "idle"

        _wait_for(ready, folder)
        try:
            yield environment
        finally:
            user = ["--user", getpass.getuser()]
            subprocess.run(["scancel", "--signal=KILL", *user], env=environment, check=False)
            subprocess.run(["scancel", *user], env=environment, check=False)
            time.sleep(1)


@contextlib.contextmanager
def _daemon(folder: Path, environment: dict[str, str], name: str, *options: str) -> Iterator[None]:
    with (
        open(folder / f"{name}.out", "w", encoding="utf-8") as log,
        subprocess.Popen(
            [_program(name), *options], env=environment, stdout=log, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_for(condition: object, folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            logs = "\n".join(
                f"{path.name}: {path.read_text(errors='replace')[-500:]}"
                for path in sorted(folder.glob("*.[lo][ou][gt]"))
            )
            raise RuntimeError(f"Slurm is not ready after a minute\n{logs}")
        time.sleep(0.2)


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


if __name__ == "__main__":
    with cluster() as environment:
        sys.exit(subprocess.run(sys.argv[1:], env=environment, check=False).returncode)
