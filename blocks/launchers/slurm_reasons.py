"""Slurm's words for why a job waits, was refused or was ended, and what can be done about each."""

import re
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

_SUBMIT_LIMIT = re.compile(r"(?:Max|Grp)Submit\w*", re.IGNORECASE)


class Outlook(StrEnum):
    """Whether a waiting job will start by itself.

    QUEUE: when its turn comes. LIMIT: when other jobs have ended, unless it asks for more than
    the limit. NEVER: somebody must change the job or the cluster.
    """

    QUEUE = "queue"
    LIMIT = "limit"
    NEVER = "never"


class Waiting(BaseModel):
    """What a pending job's reason means; `mend` is empty where nothing needs to be done."""

    model_config = ConfigDict(frozen=True)

    outlook: Outlook
    mend: str = ""


_TIME = "it asks for more time than allowed there: a shorter `time_limit` (`sinfo -o '%P %l'`)"
_HELD = "it is held: `scontrol release JOB`, or ask the administrators"
# By the beginning of the reason; the first that fits counts.
_WAITING: tuple[tuple[str, Outlook, str], ...] = (
    ("PartitionTimeLimit", Outlook.NEVER, _TIME + " or another partition"),
    ("PartitionNodeLimit", Outlook.NEVER, "its partition allows fewer nodes: fewer `nodes`"),
    ("PartitionDown", Outlook.NEVER, "its partition is down: another `partition`"),
    ("PartitionInactive", Outlook.NEVER, "its partition is closed: another `partition`"),
    ("PartitionConfig", Outlook.NEVER, "its partition does not allow this: another `partition`"),
    ("BadConstraints", Outlook.NEVER, "no node is as asked for: `constraint`, GPU type or memory"),
    ("InvalidAccount", Outlook.NEVER, "its account is not valid: `sacctmgr show assoc user=$USER`"),
    ("AccountNotAllowed", Outlook.NEVER, "its account may not use this partition"),
    ("InvalidQOS", Outlook.NEVER, "its QOS is not valid for this account"),
    ("QOSNotAllowed", Outlook.NEVER, "its QOS may not be used in this partition"),
    ("AssociationNotAllowed", Outlook.NEVER, "user and account do not go together here"),
    ("DependencyNeverSatisfied", Outlook.NEVER, "what it depends on has failed: stop it"),
    ("JobHeld", Outlook.NEVER, _HELD),
    ("launch failed requeued held", Outlook.NEVER, "its node could not start it; " + _HELD),
    ("Licenses", Outlook.QUEUE, ""),
    ("BeginTime", Outlook.QUEUE, ""),
)
_LIMIT = re.compile(r"(?:QOS|Assoc)(?P<what>\w+)")
_ALONE = re.compile(r"Max\w+Per(?:Job|Node)|MaxWall|Min|MaxTRESPerJob")
_NEVER_HERE = re.compile(r"not available.*(?:DOWN|DRAINED|reserved)", re.IGNORECASE)


def waiting(reason: str) -> Waiting:
    """What a reason of a pending job means; an unknown one is the queue's own business."""
    for word, outlook, mend in _WAITING:
        if reason.startswith(word):
            return Waiting(outlook=outlook, mend=mend)
    found = _LIMIT.match(reason)
    if found is not None and "Wall" in found["what"]:
        return Waiting(outlook=Outlook.NEVER, mend=_TIME)
    if found is not None and _ALONE.search(found["what"]):
        mend = "one job may not have that much: fewer GPUs, nodes, cores, or less memory"
        return Waiting(outlook=Outlook.NEVER, mend=mend)
    if found is not None:
        whose = "QOS" if reason.startswith("QOS") else "account (association)"
        mend = f"a limit of the {whose} is used up: it starts when other jobs have ended, and "
        mend += "never if it asks for more than the limit alone"
        return Waiting(outlook=Outlook.LIMIT, mend=mend)
    if _NEVER_HERE.search(reason):
        mend = "the nodes that it needs are down or reserved: `sinfo -R`"
        return Waiting(outlook=Outlook.LIMIT, mend=mend)
    return Waiting(outlook=Outlook.QUEUE)


def is_submit_limit(said: str) -> bool:
    """Whether sbatch refused a job only because too many are queued already."""
    return _SUBMIT_LIMIT.search(said) is not None


_REFUSED = {
    "policy": "it is over a limit of the account or QOS: ask for less time, fewer GPUs or nodes; "
    "see `sacctmgr show assoc user=$USER` and `sacctmgr show qos`",
    "invalid account": "set the account of the Slurm compute block to one of `sacctmgr show assoc "
    "user=$USER format=account,partition,qos`",
    "qos": "set the QOS of the Slurm compute block to one that your account may use",
    "invalid partition": "set the partition of the Slurm compute block to one that `sinfo` lists",
    "node configuration": "no node has that many GPUs, cores or memory: ask for less, see "
    "`sinfo -o '%P %c %m %G'`",
    "gres": "no such GPU: see `sinfo -o '%P %G'` for the types, and the block's GPU type",
    "generic resource": "no such GPU: see `sinfo -o '%P %G'`",
    "time limit": "ask for a shorter time limit, see `sinfo -o '%P %l'`",
    "node count": "ask for fewer nodes, see `sinfo -o '%P %D'`",
    "memory": "ask for less memory, see `sinfo -o '%P %m'`",
    "feature": "no node has such a feature: see `sinfo -o '%P %f'` for `constraint`",
    "maxwall": "ask for a shorter time limit",
    "account": "set the account of the Slurm compute block to one of `sacctmgr show assoc "
    "user=$USER`",
    "partition": "set the partition of the Slurm compute block to one that `sinfo` lists",
}


def mend_of_refusal(said: str) -> str:
    """What to do about sbatch's words."""
    found = (hint for word, hint in _REFUSED.items() if word in said.lower())
    return next(found, "see the options of the Slurm compute block and of the run")


_ENDED = {
    "TIMEOUT": "it reached its Slurm time limit: raise `time_limit`, or write checkpoints",
    "DEADLINE": "it could not end before its Slurm deadline",
    "OUT_OF_MEMORY": "it used more memory than asked for: raise `memory`",
    "NODE_FAIL": "its node failed, and Slurm was not to run it again",
    "BOOT_FAIL": "its node did not boot",
    "PREEMPTED": "another job took its place, and Slurm was not to run it again",
    "CANCELLED": "somebody cancelled its Slurm job",
    "REVOKED": "Slurm took it back",
}


def explained_end(reason: str) -> str:
    """Slurm's word for an end, with what it means."""
    word = reason.partition(" ")[0].rstrip(",")
    return f"{reason}: {_ENDED[word]}" if word in _ENDED else reason
