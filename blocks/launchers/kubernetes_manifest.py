"""The Job and the Secret of a launch, as Kubernetes' API takes them. No I/O."""

import copy
import os
from pathlib import Path
from typing import Any

from wildloop.blocks.launchers.base import LaunchFailed, LaunchSpec
from wildloop.blocks.launchers.kubernetes_compute import KubernetesCompute

Manifest = dict[str, Any]
MANAGED = {"app.kubernetes.io/managed-by": "wildloop"}
RUN_LABEL = "wildloop.dev/run"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
SCRIPT = "kubernetes_job.sh"
KEPT_SECONDS = 86_400
CONTAINER = "run"
# Of a container image, or of the pod: what this host has there is wrong in it.
_OF_THE_HOST = frozenset({"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "TMPDIR", "_", "HOSTNAME"})
_ALWAYS = frozenset({"PYTHONUNBUFFERED", "CUDA_DEVICE_ORDER"})


def job_manifest(
    compute: KubernetesCompute,
    spec: LaunchSpec,
    name: str,
    base: Manifest | None = None,
    namespace: str = "default",
) -> Manifest:
    """The Job of a launch.

    Args:
        compute: the block.
        spec: of the launch; its environment is in the Secret of the same name, never here.
        name: of Job and Secret.
        base: a work pool's job manifest, whose other fields stay as they are.
        namespace: of both.

    Raises:
        LaunchFailed: there is no image, or no folder in which the pod would find its command.
    """
    options = compute.merged(spec.kubernetes)
    job = copy.deepcopy(base or {})
    job |= {"apiVersion": "batch/v1", "kind": "Job"}
    labels = {**MANAGED, RUN_LABEL: _label(spec.run_id)}
    metadata = job.setdefault("metadata", {})
    metadata.pop("generateName", None)
    queue = {QUEUE_LABEL: options.queue} if options.queue else {}
    metadata |= {
        "name": name,
        "namespace": namespace,
        "labels": {**(metadata.get("labels") or {}), **labels, **queue},
        "annotations": {**(metadata.get("annotations") or {}), "wildloop.dev/name": spec.name},
    }
    body = job.setdefault("spec", {})
    # Wildloop itself begins a run anew, where its `retries` say so.
    body |= {"backoffLimit": 0, "completions": 1, "parallelism": 1}
    body["ttlSecondsAfterFinished"] = body.get("ttlSecondsAfterFinished") or KEPT_SECONDS
    if options.queue:
        # Kueue lets it go; begun at once, it would jump the queue.
        body["suspend"] = True
    template = body.setdefault("template", {})
    about = template.setdefault("metadata", {})
    about["labels"] = {**(about.get("labels") or {}), **labels}
    _fill_pod(template.setdefault("spec", {}), compute, spec, name)
    _check_folder(template["spec"], spec)
    return {key: _without_none(value) for key, value in job.items()}


def _fill_pod(pod: Manifest, compute: KubernetesCompute, spec: LaunchSpec, name: str) -> None:
    options = compute.merged(spec.kubernetes)
    pod.pop("completions", None)
    pod.pop("parallelism", None)
    pod |= {"restartPolicy": "Never", "terminationGracePeriodSeconds": compute.grace_seconds}
    selector = {**(pod.get("nodeSelector") or {}), **(options.node_selector or {})}
    if spec.gpu_type is not None and compute.gpu_type is None:
        selector[compute.gpu_type_label] = spec.gpu_type
    pod["nodeSelector"] = selector or None
    pod["priorityClassName"] = options.priority_class or pod.get("priorityClassName")
    if compute.own_user and "securityContext" not in pod:
        pod["securityContext"] = {"runAsUser": os.getuid(), "runAsGroup": os.getgid()}
    container = (pod.get("containers") or [{}])[0]
    pod["containers"] = [container, *(pod.get("containers") or [{}])[1:]]
    image = options.image or container.get("image")
    if not image:
        raise LaunchFailed(
            "no image: give one in the Kubernetes compute block, or in the run's `kubernetes`"
        )
    container.pop("args", None)
    container |= {
        "name": container.get("name") or CONTAINER,
        "image": image,
        "command": ["bash", str((spec.folder / SCRIPT).absolute())],
        "env": [*_listed(container.get("env")), *_about_the_pod()],
        "envFrom": [
            *(container.get("envFrom") or []),
            *({"secretRef": {"name": one}} for one in (*compute.env_secrets, name)),
        ],
        "resources": _resources(container.get("resources") or {}, compute, spec),
    }
    if compute.mount_path is not None and (compute.volume_claim or compute.host_path):
        volume: Manifest = {"name": "wildloop-project"}
        if compute.volume_claim:
            volume["persistentVolumeClaim"] = {"claimName": compute.volume_claim}
        else:
            volume["hostPath"] = {"path": compute.mount_path, "type": "Directory"}
        pod["volumes"] = [*(pod.get("volumes") or []), volume]
        mount = {"name": volume["name"], "mountPath": compute.mount_path}
        container["volumeMounts"] = [*(container.get("volumeMounts") or []), mount]


def _resources(base: Manifest, compute: KubernetesCompute, spec: LaunchSpec) -> Manifest:
    options = compute.merged(spec.kubernetes)
    asked = {"cpu": options.cpus, "memory": options.memory}
    given = {key: value for key, value in asked.items() if value is not None}
    gpus = {compute.gpu_resource: str(spec.gpus)} if spec.gpus else {}
    return {
        "requests": {**(base.get("requests") or {}), **given, **gpus},
        "limits": {**(base.get("limits") or {}), **given, **gpus},
    }


def _about_the_pod() -> list[Manifest]:
    fields = {"WILDLOOP_POD": "metadata.name", "WILDLOOP_NODE": "spec.nodeName"}
    return [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in fields.items()
    ]


def _listed(env: Any) -> list[Manifest]:
    """A container's variables as Kubernetes lists them; a work pool's form has a mapping."""
    if isinstance(env, dict):
        return [{"name": name, "value": str(value)} for name, value in env.items()]
    return list(env or [])


def _check_folder(pod: Manifest, spec: LaunchSpec) -> None:
    mounts = [mount["mountPath"] for mount in pod["containers"][0].get("volumeMounts") or []]
    for what, path in (("run's folder", spec.folder), ("workdir", spec.cwd)):
        if not any(path.absolute().is_relative_to(mount) for mount in mounts):
            where = ", ".join(mounts) or "nothing"
            raise LaunchFailed(
                f"the {what} '{path}' is not in a folder that pods have ({where}): set mount_path "
                "and its volume in the Kubernetes compute block"
            )


def secret_manifest(spec: LaunchSpec, name: str, owner_uid: str, base: dict[str, str]) -> Manifest:
    """The Secret with a launch's environment; it goes when its Job goes.

    Args:
        spec: of the launch.
        name: of Job and Secret.
        owner_uid: the Job's.
        base: this process's environment: what is the same here belongs to this host.
    """
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": name,
        "uid": owner_uid,
        "blockOwnerDeletion": False,
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "labels": {**MANAGED, RUN_LABEL: _label(spec.run_id)},
            "ownerReferences": [owner],
        },
        "stringData": environment(spec.env, base),
    }


def environment(env: dict[str, str], base: dict[str, str]) -> dict[str, str]:
    """What of a run's environment is its own, and not this host's."""
    return {
        name: value
        for name, value in env.items()
        if name not in _OF_THE_HOST
        and name != "CUDA_VISIBLE_DEVICES"
        and (name in _ALWAYS or name.startswith("WILDLOOP_") or base.get(name) != value)
    }


def _label(text: str) -> str:
    kept = "".join(one for one in text if one.isalnum() or one in "-_.")
    return kept[:63].strip("-_.") or "none"


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_none(one) for one in value]
    return value


def script(spec: LaunchSpec, token: str) -> str:
    """What the pod runs: the command, its log, and its end by rename."""
    quoted = {
        "folder": str(spec.folder.absolute()),
        "cwd": str(spec.cwd.absolute()),
        "log": str(spec.log.absolute()),
        "stderr": str((spec.stderr or Path()).absolute()) if spec.stderr else "",
        "stdin": str(spec.stdin.absolute()) if spec.stdin else "/dev/null",
        "token": token,
        "command": spec.command,
    }
    head = "".join(f"{name}={_quote(value)}\n" for name, value in quoted.items())
    return f"#!/bin/bash\n{head}{_WRAPPER}"


def _quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# Signals reach the first process of a pod alone, which passes TERM on to the whole command. An
# end that was asked for by a signal leaves no exit_code: Kueue may let the Job begin anew. What the
# command leaves behind ends with its pod.
_WRAPPER = r"""
publish() {
  printf '%s\n' "$2" > "$folder/$1.$WILDLOOP_POD" &&
  mv -f "$folder/$1.$WILDLOOP_POD" "$folder/$1"
}
now() { local t=${EPOCHREALTIME:-$(date +%s)}; printf '%s' "${t/,/.}"; }
if [ -f "$folder/exit_code" ]; then exit "$(<"$folder/exit_code")"; fi
case $(<"$folder/kubernetes_intent.json") in
  *"$token"*) ;;
  *) echo "wildloop: this pod was given up, or '$folder' is another folder here" >&2; exit 125 ;;
esac
if [ -e "$folder/kubernetes_stop" ]; then exit 143; fi
exec >> "$log" || exit 126
if [ -n "$stderr" ]; then exec 2>> "$stderr"; else exec 2>&1; fi
printf '%s\n' "$WILDLOOP_POD" >> "$folder/kubernetes_starts"
restart=$(($(wc -l < "$folder/kubernetes_starts") - 1))
signalled=false child=
trap 'signalled=true; [ -z "$child" ] || kill -TERM -- "-$child"' TERM
about="\"pod\": \"$WILDLOOP_POD\""
start="{$about, \"host\": \"$WILDLOOP_NODE\", \"restart\": $restart, \"started_at\": $(now)"
publish kubernetes_start.json "$start, \"devices\": \"${NVIDIA_VISIBLE_DEVICES-}\"}"
rm -f "$folder/kubernetes_end.json"
export WILDLOOP_RESTART_COUNT=$((${WILDLOOP_RESTART_COUNT:-0} + restart))
if ! cd "$cwd"; then
  echo "wildloop: working directory '$cwd' is not there in the pod"
  code=126
elif "$signalled"; then
  code=143
else
  set -m
  (
    trap : TERM
    bash -c "$command" < "$stdin"
    publish kubernetes_code "$?"
  ) &
  child=$!
  while kill -0 "$child" 2> /dev/null; do wait "$child"; done
  code=$(cat "$folder/kubernetes_code" 2> /dev/null) || code=137
  rm -f "$folder/kubernetes_code"
fi
if "$signalled"; then
  # A shell may die at once while what it has started still writes its checkpoint.
  while [ -n "$child" ] && kill -0 -- "-$child" 2> /dev/null; do sleep 0.2; done
  publish kubernetes_end.json "{$about, \"exit_code\": $code, \"ended_at\": $(now)}"
else
  publish exit_code "$code"
fi
exit "$code"
"""
