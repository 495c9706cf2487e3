#!/bin/bash
# A private one-machine Slurm with four fake GPUs, below FOLDER; PORT is slurmctld's, NODE_PORT
# slurmd's. Usage: start.sh FOLDER PORT NODE_PORT. Nothing outside FOLDER is touched. munged wants the folders
# above its socket to be root's or sticky.
set -euo pipefail
folder=$1 port=$2 node_port=$3
host=$(hostname -s)
mkdir -p "$folder"/{etc,state,spool,log,run,dev,munge}
chmod 755 "$folder" "$folder"/*
head -c 1024 /dev/urandom > "$folder/etc/munge.key"
chmod 600 "$folder/etc/munge.key"
munged --key-file="$folder/etc/munge.key" --socket="$folder/munge/socket" \
  --pid-file="$folder/munge/munged.pid" --log-file="$folder/munge/munged.log" \
  --seed-file="$folder/munge/munged.seed" --num-threads=2
# Slurm sets CUDA_VISIBLE_DEVICES for character devices only; these are /dev/null's.
for device in 0 1 2 3; do mknod "$folder/dev/nvidia$device" c 1 3; done
echo "Name=gpu File=$folder/dev/nvidia[0-3]" > "$folder/etc/gres.conf"
cat > "$folder/etc/slurm.conf" <<CONF
ClusterName=wildloop
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=500
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=300
KillWait=3
InactiveLimit=0
SlurmdTimeout=300
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$node_port CPUs=8 RealMemory=4000 Gres=gpu:4 State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
CONF
export SLURM_CONF="$folder/etc/slurm.conf"
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF" -N n1
for _ in $(seq 200); do
  sinfo -h -o %T 2> /dev/null | grep -qx idle && exit 0
  sleep 0.1
done
sinfo
tail -20 "$folder"/log/*.log
exit 1
