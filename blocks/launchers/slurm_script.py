"""The batch script of a launch."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from wildloop.blocks.launchers.base import LaunchSpec
from wildloop.blocks.launchers.processes import MARKER
from wildloop.blocks.launchers.slurm_options import SlurmOverride
from wildloop.blocks.launchers.slurm_record import Intent

# Kept from an outer job or a site's defaults; all else of theirs would change what is asked for.
_KEPT = frozenset(
    {
        *("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT"),
        *("SBATCH_ACCOUNT", "SBATCH_PARTITION", "SBATCH_QOS", "SBATCH_RESERVATION"),
        *("SBATCH_CONSTRAINT", "SBATCH_TIMELIMIT", "SBATCH_WCKEY"),
    }
)
_SCHEDULER_PREFIXES = ("SLURM_", "SLURMD_", "SLURMSTEPD_", "SBATCH_", "SRUN_", "SALLOC_")
_MODULE_FILES = (
    *("/etc/profile.d/lmod.sh", "/etc/profile.d/modules.sh", "/usr/share/modules/init/bash"),
    "/usr/share/lmod/lmod/init/bash",
)
LINGER_SECONDS = 60
_DEVICES = frozenset(
    {
        *("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"),
        *("GPU_DEVICE_ORDINAL", "ZE_AFFINITY_MASK", "NVIDIA_VISIBLE_DEVICES"),
    }
)
_BEFORE = frozenset({"exec", "command", "env", "nohup", "time", "!", "{", "then", "do", "else"})
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")

# Like the local launcher's wrapper: it handles signals, since the command would inherit ignored
# ones, and writes each record by rename. Some Slurms signal every process of a job, others (those
# that track processes by cgroup) the batch shell alone: a canary tells which, and in that case TERM
# is passed on to the whole group, whose srun passes it on to other nodes. A shell among them
# may die at once while what it has started still writes its checkpoint: the job lasts until that
# has ended, too. A second shell waits for the command and tells its code by a pipe: bash answers
# signals while it reads, but not while a command runs, and its `wait` may forget a code when a
# signal comes at the end. env gives the command back the interrupts that bash takes from such
# shells. An attempt that was signalled leaves no exit_code: Slurm may run it again.
_WRAPPER = r"""
exec 8>&1 9>&2 2>/dev/null
tool() { PATH="$PATH:/usr/bin:/bin" "$@"; }
say() { printf 'wildloop: %s\n' "$1" >&9; }
publish() {
  printf '%s\n' "$2" > "$folder/$1.$SLURM_JOB_ID" &&
  tool mv -f "$folder/$1.$SLURM_JOB_ID" "$folder/$1"
}
now() { local t=${EPOCHREALTIME:-$(tool date +%s)}; printf '%s' "${t/,/.}"; }
restart=${SLURM_RESTART_COUNT:-0}
if [ -f "$folder/exit_code" ]; then exit "$(<"$folder/exit_code")"; fi
case $(<"$folder/slurm_intent.json") in
  *"$token"*) ;;
  *) say "job $SLURM_JOB_ID was given up, or '$folder' is not visible on $HOSTNAME"; exit 125 ;;
esac
if [ -e "$folder/slurm_stop" ]; then exit 143; fi
printf '%s\n' "$SLURM_JOB_ID" > "$folder/slurm_claim.$SLURM_JOB_ID" || {
  say "cannot write into '$folder' on $HOSTNAME: is the disk full?"; exit 126
}
tool ln "$folder/slurm_claim.$SLURM_JOB_ID" "$folder/slurm_claim"
tool rm -f "$folder/slurm_claim.$SLURM_JOB_ID"
if [ "$(<"$folder/slurm_claim")" != "$SLURM_JOB_ID" ]; then
  say "job $SLURM_JOB_ID is a second submission of one launch: it does nothing"; exit 125
fi
if [ -e "$folder/slurm_start.json" ]; then
  tool cat "$folder/slurm_start.json" "$folder/slurm_end.json" >> "$folder/slurm_earlier.jsonl"
fi
if [ "$gpus" = 0 ] && [ -z "${CUDA_VISIBLE_DEVICES+set}" ]; then export CUDA_VISIBLE_DEVICES=; fi
attempt="\"job_id\": \"$SLURM_JOB_ID\", \"restart\": $restart,"
boot=$(</proc/sys/kernel/random/boot_id)
start="{$attempt \"host\": \"${SLURMD_NODENAME:-$HOSTNAME}\", \"pid\": $$, \"boot\": \"$boot\""
start="$start, \"devices\": \"${CUDA_VISIBLE_DEVICES-}\", \"started_at\": $(now)}"
child= canary= code= signalled=false deadline=
left() {
  # The command's processes on this node; not this shell's own.
  local one
  for one in $(
    cd /proc && tool env -u WILDLOOP_LAUNCH_ID grep -lzxF "WILDLOOP_LAUNCH_ID=$token" [0-9]*/environ
  ); do
    one=${one%/environ}
    case $one in "$$" | "$BASHPID" | "$middle") continue ;; esac
    [ ! -e "/proc/$one/environ" ] || echo "$one"
  done
}
overdue() {
  if [ -z "$deadline" ] && [ -e "$folder/slurm_stop" ]; then
    deadline=$(<"$folder/slurm_stop")
    deadline=$((SECONDS + ${deadline%.*}))
  fi
  [ -n "$deadline" ] && [ "$SECONDS" -ge "$deadline" ] && kill -KILL $(left)
}
watch_signals() {
  (
    PATH="$PATH:/usr/bin:/bin"
    exec env -u WILDLOOP_LAUNCH_ID sleep 2147483647
  ) > /dev/null 6<&- 8>&- 9>&- &
  canary=$!
}
terminated() {
  signalled=true
  if [ -n "$child" ]; then
    tool sleep 0.3
    if kill -0 "$canary"; then
      trap '' TERM
      kill -TERM 0
      trap terminated TERM
    fi
    kill -KILL "$canary"
    watch_signals
  fi
  overdue
}
trap terminated TERM
for signal in INT HUP USR1 USR2; do
  trap "[ -z \"\$child\" ] || kill -$signal \"\$child\"" "$signal"
done
publish slurm_start.json "$start" || { say "cannot write into '$folder'"; exit 126; }
# Only now: by the old end, the old start is known to be old.
tool rm -f "$folder/slurm_end.json"
export WILDLOOP_RESTART_COUNT=$((${WILDLOOP_RESTART_COUNT:-0} + restart))
if [ -z "${MASTER_ADDR+set}" ]; then
  first=$(tool scontrol show hostnames "$SLURM_JOB_NODELIST")
  first=${first%%$'\n'*}
  export MASTER_ADDR=${first:-${SLURMD_NODENAME:-$HOSTNAME}}
fi
# One of its own for each job, or two on one node would clash at the usual 29500.
export MASTER_PORT=${MASTER_PORT:-$((20000 + SLURM_JOB_ID % 12000))}
export PET_MASTER_PORT=${PET_MASTER_PORT:-$MASTER_PORT}
if ! cd "$cwd"; then
  say "working directory '$cwd' is not there on $HOSTNAME: use a folder that all nodes share"
  code=126
elif "$signalled"; then
  code=143
else
  watch_signals
  reset=()
  if tool env --default-signal=INT true; then
    reset=("$(PATH="$PATH:/usr/bin:/bin" type -P env)" --default-signal=INT,QUIT)
  fi
  exec 6< <(
    exec 7>&1 >&8 8>&-
    printf '%s\n' "$BASHPID" >&7
    trap : TERM INT HUP USR1 USR2
    (
      printf '%s\n' "$BASHPID" >&7
      trap - TERM INT HUP USR1 USR2
      [ -z "$tools" ] || export PATH="$tools:$PATH"
      exec 2>&9 7>&- 9>&- < "$stdin"
      exec "${reset[@]}" "$BASH" -c -- "$command"
    )
    printf '%s\n' "$?" >&7
  )
  read -r middle <&6
  read -r child <&6
  "$signalled" && terminated
  while [ -z "$code" ]; do
    read -r -t 1 code <&6
    [ $? != 1 ] || code=${code:-137}
    "$signalled" && overdue
  done
  if "$signalled"; then
    until=$((SECONDS + linger))
    while [ "$SECONDS" -lt "$until" ] && [ -n "$(left)" ]; do
      overdue
      tool sleep 0.2
    done
  fi
fi
[ -z "$canary" ] || kill -KILL "$canary"
trap '' TERM INT HUP USR1 USR2
case $(<"$folder/slurm_start.json") in
  *"$attempt"*) ;;
  *) say "another attempt has begun: this one's end does not count"; exit "$code" ;;
esac
end="{$attempt \"exit_code\": $code, \"signalled\": $signalled, \"ended_at\": $(now)}"
publish slurm_end.json "$end" || say "cannot write into '$folder'"
"$signalled" || publish exit_code "$code"
exit "$code"
"""


# Stands before Slurm's own in the PATH of a command, so that the run lasts as long as its jobs.
SBATCH_NOTE = r"""#!/bin/bash -p
here=${BASH_SOURCE[0]%/*}
IFS=:
for folder in $PATH; do
  if [ ! "$folder" -ef "$here" ] && [ -x "$folder/sbatch" ]; then
    said=$("$folder/sbatch" "$@")
    code=$?
    printf '%s\n' "$said" | tee -a "${here%/*}/slurm_submitted"
    exit "$code"
  fi
done
echo "sbatch: command not found" >&2
exit 127
"""


def batch_script(spec: LaunchSpec, intent: Intent, options: SlurmOverride) -> str:
    """The script that sbatch takes: records, modules, set-up lines, command."""
    lines = [*_module_lines(options.modules or ()), *(options.setup_lines or ())]
    inside = contained(spec.command, options, spec.cwd, spec.gpus > 0)
    values = {
        "folder": str(spec.folder.absolute()),
        "cwd": str(spec.cwd.absolute()),
        "stdin": str(spec.stdin.absolute()) if spec.stdin is not None else "/dev/null",
        "token": intent.token,
        "gpus": str(spec.gpus),
        "command": _with_setup(inside, lines),
        # How long a job that was told to end may outlive its command's first process.
        "linger": str(options.grace_seconds or LINGER_SECONDS),
        # A colon would end the folder's name in PATH.
        "tools": ""
        if intent.submits or ":" in str(spec.folder)
        else str(spec.folder.absolute() / "bin"),
    }
    # -p: BASH_ENV and the like are for the command, not for the wrapper.
    head = ["#!/bin/bash -p", *(f"{name}={shlex.quote(text)}" for name, text in values.items())]
    if intent.submits:
        # Here, and not in the environment of the launcher's own sbatch.
        head.append(f"export SBATCH_WAIT=1 SBATCH_JOB_NAME={intent.inner_name}")
    return "\n".join(head) + _WRAPPER


def contained(command: str, options: SlurmOverride, cwd: Path, needs_gpus: bool) -> str:
    """The command, within the container that the options name; as it is without one."""
    if options.container is None:
        return command
    folder = str(cwd.absolute())
    if options.container_runtime == "pyxis":
        words = ["srun", f"--container-image={options.container}", f"--container-workdir={folder}"]
        words += [f"--container-mounts={folder}:{folder}", "bash", "-c", command]
    else:
        words = ["apptainer", "exec", *(["--nv"] if needs_gpus else [])]
        words += ["--bind", folder, "--pwd", folder, options.container, "bash", "-c", command]
    return "exec " + shlex.join(words)


def _module_lines(modules: Sequence[str]) -> list[str]:
    """Shell lines that load modules, also in a shell that is no login shell."""
    if not modules:
        return []
    files = " ".join(_MODULE_FILES)
    find = (
        f"type module &> /dev/null || for f in {files}; do [ ! -r $f ] || {{ . $f; break; }}; done"
    )
    return [find, *(f"module load {shlex.quote(name)}" for name in modules)]


def _with_setup(command: str, setup_lines: Sequence[str]) -> str:
    """The command after its set-up lines, in the same shell."""
    lines = []
    for line in setup_lines:
        said = shlex.quote(f"wildloop: set-up line failed: {line}")
        lines += [f"{{ {line}", f"}} || {{ code=$?; echo {said} >&2; exit $code; }}"]
    return "\n".join([*lines, command])


def submission_environment(
    spec: LaunchSpec, intent: Intent, submitter: Mapping[str, str]
) -> dict[str, str]:
    """The environment for sbatch, which the job inherits.

    It is the launch's own, without what an outer job or sbatch defaults would put into it and
    without device variables, since those that Slurm sets must win.
    """
    env = {
        name: text
        for name, text in spec.env.items()
        if name in _KEPT or not (name in _DEVICES or name.startswith(_SCHEDULER_PREFIXES))
    }
    if "SLURM_CONF" in submitter:
        env.setdefault("SLURM_CONF", submitter["SLURM_CONF"])
    env[MARKER] = intent.token
    return env


def calls_sbatch(command: str) -> bool:
    """Whether a simple command of this shell text is sbatch itself."""
    lexer = shlex.shlex(command.replace("\n", " ; "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        words = list(lexer)
    except ValueError:
        return False
    first = True
    for word in words:
        if not word.strip("();<>|&"):
            first = "<" not in word and ">" not in word
        elif first and word not in _BEFORE and not _ASSIGNMENT.match(word):
            if Path(word).name == "sbatch":
                return True
            first = False
    return False
