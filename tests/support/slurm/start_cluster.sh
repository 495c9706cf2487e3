#!/bin/bash
# A private Slurm as clusters have it, below FOLDER: three nodes with four fake GPUs each, accounts (slurmdbd on MariaDB),
# QOS with limits and preemption, and, where the kernel has cgroups of the first kind, processes tracked by them, so that a
# job's TERM reaches its batch shell alone. Usage: start_cluster.sh FOLDER PORT*6 (controller, accounts, database, nodes).
set -euo pipefail
folder=$1 port=$2 accounts_port=$3 database_port=$4
host=$(hostname -s)
mkdir -p "$folder"/{etc,state,spool/n1,spool/n2,spool/n3,log,run,dev,munge,mysql}
chmod 755 "$folder" "$folder"/*
chown mysql "$folder/mysql"
mariadb-install-db --no-defaults --user=mysql --datadir="$folder/mysql" > /dev/null 2>&1
setsid mariadbd --no-defaults --user=mysql --datadir="$folder/mysql" --socket="$folder/mysql/socket" \
  --port="$database_port" --bind-address=127.0.0.1 --pid-file="$folder/mysql/pid" \
  --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 > "$folder/log/mariadb.log" 2>&1 < /dev/null &
head -c 1024 /dev/urandom > "$folder/etc/munge.key"
chmod 600 "$folder/etc/munge.key"
munged --key-file="$folder/etc/munge.key" --socket="$folder/munge/socket" \
  --pid-file="$folder/munge/munged.pid" --log-file="$folder/munge/munged.log" \
  --seed-file="$folder/munge/munged.seed" --num-threads=2
for device in 0 1 2 3; do mknod "$folder/dev/nvidia$device" c 1 3; done
echo "Name=gpu Type=a100 File=$folder/dev/nvidia[0-3]" > "$folder/etc/gres.conf"
tracking=linuxproc
if [ -d /sys/fs/cgroup/freezer ]; then
  tracking=cgroup
  printf 'CgroupMountpoint=/sys/fs/cgroup\nCgroupPlugin=cgroup/v1\n' > "$folder/etc/cgroup.conf"
fi
cat > "$folder/etc/slurmdbd.conf" << CONF
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
DbdHost=$host
DbdAddr=127.0.0.1
DbdPort=$accounts_port
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$database_port
StorageUser=slurm
StoragePass=pw
StorageLoc=slurm_acct_db
LogFile=$folder/log/slurmdbd.log
PidFile=$folder/run/slurmdbd.pid
CONF
chmod 600 "$folder/etc/slurmdbd.conf"
cat > "$folder/etc/slurm.conf" << CONF
ClusterName=lab
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd-%n.log
SwitchType=switch/none
MpiDefault=none
ProctrackType=proctrack/$tracking
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$accounts_port
AccountingStoragePass=$folder/munge/socket
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=associations,limits,qos
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=200
PriorityType=priority/multifactor
PriorityWeightQOS=10000
PreemptType=preempt/qos
PreemptMode=REQUEUE
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=300
KillWait=5
SlurmdTimeout=20
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=$5 CPUs=8 RealMemory=4000 Gres=gpu:a100:4
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=$6 CPUs=8 RealMemory=4000 Gres=gpu:a100:4
NodeName=n3 NodeHostname=$host NodeAddr=127.0.0.1 Port=$7 CPUs=8 RealMemory=4000 Gres=gpu:a100:4
PartitionName=gpu Nodes=n[1-2] Default=YES MaxTime=1-0 DefaultTime=30 State=UP
PartitionName=short Nodes=n3 MaxTime=5 DefaultTime=2 State=UP
CONF
export SLURM_CONF="$folder/etc/slurm.conf"
until_it() { for _ in $(seq 200); do "$@" > /dev/null 2>&1 && return; sleep 0.1; done; "$@"; }
sql() { mariadb --no-defaults -S "$folder/mysql/socket" -e "$1"; }
until_it sql 'select 1'
sql "create database slurm_acct_db; create user slurm@localhost identified by 'pw'; create user slurm@127.0.0.1 identified by 'pw';
grant all on slurm_acct_db.* to slurm@localhost; grant all on slurm_acct_db.* to slurm@127.0.0.1;"
slurmdbd
until_it sacctmgr -n show cluster
change() { sacctmgr -i "$@" > /dev/null; }
change add cluster lab
change add account lab-vision description=v organization=o
change add qos few set MaxSubmitJobsPU=2
change add qos high set priority=100
change modify qos high set preempt=normal preemptmode=requeue
change add user root account=lab-vision
change modify user root where account=lab-vision set qos=normal,high,few defaultqos=normal
change modify user root set defaultaccount=lab-vision
slurmctld
for node in n1 n2 n3; do slurmd -N "$node"; done
all_idle() { [ "$(sinfo -h -N -o %T | sort | uniq -c | xargs)" = "3 idle" ]; }
until_it all_idle
